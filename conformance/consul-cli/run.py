"""A real Consul 1.8.7's command line as the client of our agent, for every word of the story; and ours beside it."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from rig import REAL_CONSUL, Rig, free_ports, wait_for

ENTRY = 'kind = "service-defaults"\nname = "web"\nprotocol = "http"\n'
SERVICE = 'service {\n  name = "web"\n  port = 8080\n  tags = ["a", "b"]\n  connect { sidecar_service {} }\n}\n'

# (words, exit code, what must stand in the output, given to both clients in turn)
CASES = [
    (["members"], 0, "alive"),
    (["members", "-detailed"], 0, "dc=dc1"),
    (["catalog", "datacenters"], 0, "dc1"),
    (["catalog", "nodes"], 0, "Node"),
    (["catalog", "services"], 0, "consul"),
    (["services", "register", "web.hcl"], 0, ""),
    (["catalog", "services", "-tags"], 0, "a,b"),
    (["catalog", "nodes", "-service=web"], 0, "127.0.0.1"),
    (["config", "write", "entry.hcl"], 0, "Config entry written: service-defaults/web"),
    (["config", "list", "-kind", "service-defaults"], 0, "web"),
    (["config", "read", "-kind", "service-defaults", "-name", "web"], 0, '"Protocol": "http"'),
    (["intention", "create", "-deny", "*", "*"], 0, "Created: * => * (deny)"),
    (["intention", "create", "-allow", "web", "db"], 0, "Created: web => db (allow)"),
    (["intention", "create", "-allow", "web", "db"], 1, "duplicate intention found"),
    (["intention", "check", "web", "db"], 0, "Allowed"),
    (["intention", "check", "db", "web"], 1, "Denied"),
    (["intention", "match", "db"], 0, "web => db (allow)"),
    (["intention", "get", "web", "db"], 0, "Action:       allow"),
    (["intention", "delete", "web", "db"], 0, "Intention deleted."),
    (["intention", "delete", "*", "*"], 0, "Intention deleted."),
    (["config", "delete", "-kind", "service-defaults", "-name", "web"], 0, "Config entry deleted: service-defaults/web"),
    (["services", "deregister", "-id", "web"], 0, "Deregistered service: web"),
    (["kv", "put", "-flags", "7", "app/a", "hello"], 0, "Success! Data written to: app/a"),
    (["kv", "put", "app/b", "@web.hcl"], 0, "Success! Data written to: app/b"),
    (["kv", "get", "app/a"], 0, "hello"),
    (["kv", "get", "-detailed", "app/a"], 0, "Flags            7"),
    (["kv", "get", "-recurse", "app/"], 0, "app/a:hello"),
    (["kv", "get", "-keys", ""], 0, "app/"),
    (["kv", "export", "app/a"], 0, "aGVsbG8="),
    (["kv", "import", '[{"key": "imp/a", "flags": 3, "value": "YQ=="}]'], 0, "Imported: imp/a"),
    (["kv", "delete", "-recurse", "app/"], 0, "Success! Deleted keys with prefix: app/"),
    (["kv", "get", "app/a"], 1, "Error! No key exists at: app/a"),
    (["lock", "-verbose", "locks/a", "echo $CONSUL_LOCK_HELD"], 0, "true"),
    (["lock", "-child-exit-code", "locks/a", "exit 3"], 2, "Error running handler: exit status 3"),
    (["lock", "-n", "2", "locks/b", "echo two"], 0, "two"),
    (["kv", "get", "-keys", "locks/"], 0, ""),
    (["watch", "-type", "key", "-key", "imp/a"], 0, '"Value": "YQ=="'),
    (["watch", "-type", "service", "-service", "consul"], 0, '"Service": "consul"'),
    (["event", "-name", "deploy", "1.2.3"], 0, "Event ID: "),
    (["watch", "-type", "event", "-name", "deploy"], 0, '"Payload": "MS4yLjM="'),
    (["exec", "-wait", "1s", "echo from $((6*7)); exit 3"], 2, "finished with exit code 3"),
    (["maint", "-enable", "-reason", "why"], 0, "Node maintenance is now enabled"),
    (["maint"], 0, "Reason: why"),
    (["maint", "-disable"], 0, "Node maintenance is now disabled"),
    (["rtt", "-wan", "n1.dc1"], 0, "Estimated n1.dc1 <-> n1.dc1 rtt:"),
    (["operator", "raft", "list-peers"], 0, "leader"),
    (["operator", "autopilot", "get-config"], 0, "CleanupDeadServers = true"),
    (["connect", "ca", "get-config"], 0, '"Provider": "consul"'),
    (["info"], 0, "agent:"),
    (["reload"], 0, "Configuration reload triggered"),
    (["validate", "web.hcl"], 1, "data_dir cannot be empty"),
    (["validate", "agent.hcl"], 0, "Configuration is valid!"),
    (["connect", "proxy", "-sidecar-for", "nope"], 1, "No sidecar proxy registered for nope"),
    (["leave"], 0, "Graceful leave complete"),
]


def words(text):
    return [line.split() for line in text.splitlines()]


def main(rig):
    rig.check("a real Consul 1.8.7 is at hand", REAL_CONSUL.exists(), str(REAL_CONSUL))
    (rig.dir / "entry.hcl").write_text(ENTRY)
    (rig.dir / "web.hcl").write_text(SERVICE)
    (rig.dir / "agent.hcl").write_text('data_dir = "data"\n' + SERVICE)
    outputs = {}
    for client, binary in (("real", REAL_CONSUL), ("ours", None)):
        agent = rig.agent(f"agent-{client}", ["-node=n1", "-hcl=disable_remote_exec = false"])
        for argv, wanted_code, wanted_text in CASES:
            code, out, err = agent.cli(*argv, binary=binary)
            rig.check(f"{client}: {' '.join(argv)}", code == wanted_code and wanted_text in out + err, (code, out, err))
            if argv[:2] == ["services", "register"]:
                # The agent writes to the catalog when it gets to it.
                wait_for("the service in the catalog", lambda: "web" in agent.get("/v1/catalog/services")[1], 20)
            outputs.setdefault(tuple(argv), []).append((out, agent.http))
    # What a script would cut into columns is the same from both clients.
    for argv in (["catalog", "datacenters"], ["catalog", "services", "-tags"], ["intention", "match", "db"],
                 ["config", "list", "-kind", "service-defaults"], ["catalog", "services"],
                 ["kv", "get", "-recurse", "app/"], ["kv", "export", "app/a"], ["operator", "autopilot", "get-config"],
                 ["lock", "-verbose", "locks/a", "echo $CONSUL_LOCK_HELD"]):
        (real, _), (ours, _) = outputs[tuple(argv)]
        rig.equal(f"same text: {' '.join(argv)}", words(ours), words(real))


with Rig() as rig:
    main(rig)
