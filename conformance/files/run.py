"""Files and ports that cannot be: one clear answer with file, line and column, exit code 1, and a real Consul that
refuses the same files. And the managed form of the talk's slide, which runs."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from rig import REAL_CONSUL, Rig, free_ports, wait_for

BAD = {
    "unknown.hcl": ('service {\n  name = "a"\n  prot = 1\n}\n', "3:3", "prot"),
    "top.hcl": ("bogus = 1\n", "1:1", "bogus"),
    "type.hcl": ('service {\n  name = "a"\n  port = "x"\n}\n', "3:10", "whole number"),
    "broken.hcl": ('service {\n  name = "a"\n  port = \n}\n', "4:1", "RBRACE"),
    "broken.json": ('{"service": {"name": "a",\n "port": }}', "2:10", "'}'"),
    "deep.hcl": ("a = " + "[" * 100000, "1:", "100 levels"),
    "large.hcl": (" " * (17 << 20), "1:1", "16777216 bytes"),
}
# What a real Consul takes a very long time over, or has no limit for.
NOT_FOR_CONSUL = {"deep.hcl", "large.hcl"}
MANAGED = '''
service {
  name = "web"
  port = %d
  connect = {
    proxy = {
      config = {
        upstreams = [
          {
            destination_name = "mongodb"
            local_bind_port = %d
          }
        ]
      }
    }
  }
}
'''


def main(rig):
    (http,) = free_ports(1)
    for name, (text, place, words) in BAD.items():
        (rig.dir / name).write_text(text)
        code, out, err = rig.run([rig.consul, "agent", "-dev", f"-http-port={http}", f"-config-file={name}"])
        rig.check(f"{name}: place and reason, code 1",
                  code == 1 and name in err and place in err and words in err, (code, err[-400:]))
        if name not in NOT_FOR_CONSUL:
            code, _, err = rig.run([REAL_CONSUL, "validate", name])
            rig.check(f"{name}: refused by a real Consul too", code == 1, err)
    code, _, err = rig.run([rig.consul, "agent", "-dev", "-config-file=nowhere.hcl"])
    rig.check("a file that is not there", code == 1 and "nowhere.hcl" in err and "no such file" in err, err)
    agent = rig.agent()
    code, _, err = rig.run([rig.consul, "agent", "-dev", f"-http-port={agent.http}"])
    rig.check("a taken port is named", code == 1 and f"127.0.0.1:{agent.http}" in err and "in use" in err, err)
    code, _, err = rig.run([rig.consul, "demo", f"--ports-from={agent.http}"])
    rig.check("the demo names it too, and the way out", code == 1 and str(agent.http) in err and "--ports-from" in err, err)

    app, upstream = free_ports(2)
    (rig.dir / "managed.hcl").write_text(MANAGED % (app, upstream))
    managed = rig.agent("managed", ["-config-file=managed.hcl"])
    # The proxy of a managed definition runs inside the agent: its way to mongodb answers, if only with a refusal.
    wait_for("the managed proxy", lambda: connects(upstream), 15)
    rig.check("the slide's managed form runs", "web-sidecar-proxy" in managed.get("/v1/agent/services")[1])
    rig.check("and names today's form", "sidecar_service" in rig.log("managed"))


def connects(port):
    import socket
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


with Rig() as rig:
    main(rig)
