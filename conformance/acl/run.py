"""Who may do what: a server that denies by default, tokens with scoped policies, every group of routes tried with each of
them, and held against what a real Consul 1.8.7 answered to the same (`recorded.json`; `run.py --record BINARY` writes it). `later.json` has what is better on purpose."""
import itertools
import json
import pathlib
import sys
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from rig import Rig, free_ports, wait_for

RECORDED = HERE / "recorded.json"
LOCAL = {"Name": "loc", "Check": {"TTL": "1h", "Status": "passing"}}
MASTER = "e95b599e-166e-7d80-08ad-aee76e7ddf19"

# Rules, one token each. "" is whoever brings no token.
POLICIES = {
    "nothing": "",
    "kv-read": 'key_prefix "app/" { policy = "read" }',
    "kv-list": 'key_prefix "app/" { policy = "list" }',
    "kv-write": 'key_prefix "app/" { policy = "write" } key "app/no" { policy = "deny" }',
    "node-read": 'node_prefix "" { policy = "read" }',
    "service-read": 'service_prefix "" { policy = "read" }',
    "both-read": 'node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }',
    "web-write": 'service "web" { policy = "write" } node_prefix "" { policy = "read" }',
    "db-intentions": 'service "db" { policy = "read" intentions = "write" }',
    "agent-read": 'agent_prefix "" { policy = "read" }',
    "agent-write": 'agent_prefix "" { policy = "write" }',
    "node-write": 'node_prefix "" { policy = "write" }',
    "operator-read": 'operator = "read"',
    "operator-write": 'operator = "write"',
    "acl-read": 'acl = "read"',
    "session-write": 'session_prefix "" { policy = "write" }',
    "event-write": 'event_prefix "ev" { policy = "write" }',
    "query-read": 'query_prefix "" { policy = "read" }',
    "keyring": 'keyring = "write"',
    "mixed": 'service_prefix "" { policy = "write" } service_prefix "w" { policy = "deny" } '
    'service "web" { policy = "read" intentions = "deny" } key_prefix "" { policy = "write" } '
    'key_prefix "a/" { policy = "deny" } key_prefix "a/b/" { policy = "read" } key "a/b/c" { policy = "write" }',
    "everywhere": 'service_prefix "" { policy = "write" intentions = "write" } node "n1" { policy = "write" }',
    "json": json.dumps({"key_prefix": {"": {"policy": "read"}}, "acl": "write", "session": {"s": {"policy": "deny"}}}),
}
# Tokens of several policies: of two rules for one name the stronger counts, and deny above all.
TOGETHER = {
    "read+write": ["kv-read", "kv-write"],
    "list+read": ["kv-read", "kv-list"],
    "denied": ["mixed", "everywhere", "web-write"],
    "identity": [],
}

QUESTIONS = [
    {"Resource": resource, "Segment": segment, "Access": access}
    for resource, segments, accesses in [
        ("acl", [""], ["read", "write"]),
        ("agent", ["n1", "x"], ["read", "write"]),
        ("event", ["ev", "event", "x"], ["read", "write"]),
        ("intention", ["web", "db", "w", "other", "*"], ["read", "write"]),
        ("key", ["", "app", "app/", "app/x", "app/no", "a", "a/", "a/x", "a/b/", "a/b/c", "a/b/d", "z"],
         ["read", "list", "write", "write-prefix"]),
        ("keyring", [""], ["read", "write"]),
        ("node", ["n1", "x"], ["read", "write"]),
        ("operator", [""], ["read", "write"]),
        ("query", ["q", ""], ["read", "write"]),
        ("service", ["web", "web-sidecar-proxy", "w", "db", "other", ""], ["read", "write"]),
        ("session", ["s", "n1"], ["read", "write"]),
    ]
    for segment, access in itertools.product(segments, accesses)
]

# What nobody has to put back: reads, and writes that change nothing that another case reads.
REQUESTS = [
    ("GET", "/v1/catalog/nodes", None),
    ("GET", "/v1/catalog/services", None),
    ("GET", "/v1/catalog/service/web", None),
    ("GET", "/v1/catalog/node/n1", None),
    ("GET", "/v1/catalog/datacenters", None),
    ("GET", "/v1/health/node/n1", None),
    ("GET", "/v1/health/service/web", None),
    ("GET", "/v1/health/checks/web", None),
    ("GET", "/v1/health/state/any", None),
    ("PUT", "/v1/catalog/register", {"Node": "n1", "Address": "127.0.0.2", "Service": {"Service": "web"}}),
    ("PUT", "/v1/catalog/register", {"Node": "n1", "SkipNodeUpdate": True, "Service": {"Service": "db"}}),
    ("PUT", "/v1/catalog/register", {"Node": "n1", "SkipNodeUpdate": True, "Check": {"Name": "c", "Node": "n1"}}),
    ("PUT", "/v1/catalog/deregister", {"Node": "n1", "ServiceID": "nope"}),
    ("GET", "/v1/kv/app/x", None),
    ("GET", "/v1/kv/app/no", None),
    ("GET", "/v1/kv/app?recurse", None),
    ("GET", "/v1/kv/?keys", None),
    ("PUT", "/v1/kv/app/x", "v"),
    ("PUT", "/v1/kv/other", "v"),
    ("DELETE", "/v1/kv/app/no", None),
    ("DELETE", "/v1/kv/app/nothing/?recurse", None),
    ("PUT", "/v1/txn", [{"KV": {"Verb": "get", "Key": "app/x"}}]),
    ("PUT", "/v1/txn", [{"KV": {"Verb": "set", "Key": "app/x", "Value": "dg=="}}]),
    ("GET", "/v1/session/list", None),
    ("PUT", "/v1/session/renew/adf4238a-882b-9ddc-4a9d-5b6758e4159e", None),
    ("GET", "/v1/agent/self", None),
    ("GET", "/v1/agent/members", None),
    ("GET", "/v1/agent/metrics", None),
    ("GET", "/v1/agent/host", None),
    ("GET", "/v1/agent/services", None),
    ("GET", "/v1/agent/checks", None),
    ("GET", "/v1/agent/service/loc", None),
    ("GET", "/v1/agent/health/service/name/loc", None),
    ("PUT", "/v1/agent/service/register", {"Name": "web", "Port": 1}),
    ("PUT", "/v1/agent/service/register", {"Name": "web", "ID": "loc", "Port": 1}),
    ("PUT", "/v1/agent/check/register", {"Name": "nc", "TTL": "1h"}),
    ("PUT", "/v1/agent/check/pass/service:loc", None),
    ("PUT", "/v1/agent/maintenance?enable=false", None),
    ("PUT", "/v1/agent/service/maintenance/loc?enable=false", None),
    ("PUT", "/v1/agent/reload", None),
    ("PUT", "/v1/agent/token/replication", {"Token": ""}),
    ("GET", "/v1/agent/connect/ca/roots", None),
    ("GET", "/v1/agent/connect/ca/leaf/web", None),
    ("POST", "/v1/agent/connect/authorize",
     {"Target": "web", "ClientCertURI": "spiffe://x.consul/ns/default/dc/dc1/svc/a", "ClientCertSerial": ""}),
    ("GET", "/v1/connect/ca/roots", None),
    ("GET", "/v1/connect/ca/configuration", None),
    ("GET", "/v1/connect/intentions", None),
    ("GET", "/v1/connect/intentions/match?by=destination&name=db", None),
    ("GET", "/v1/connect/intentions/check?source=web&destination=db", None),
    ("POST", "/v1/connect/intentions", {"SourceName": "web", "DestinationName": "db", "Action": "allow"}),
    ("POST", "/v1/connect/intentions", {"SourceName": "db", "DestinationName": "*", "Action": "bad"}),
    ("GET", "/v1/config/service-defaults/web", None),
    ("GET", "/v1/config/service-defaults", None),
    ("GET", "/v1/config/proxy-defaults/global", None),
    ("PUT", "/v1/config", {"Kind": "service-defaults", "Name": "web", "Protocol": "http"}),
    ("PUT", "/v1/config", {"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http"}}),
    ("GET", "/v1/coordinate/nodes", None),
    ("PUT", "/v1/event/fire/ev", None),
    ("PUT", "/v1/event/fire/other", None),
    ("GET", "/v1/operator/autopilot/configuration", None),
    ("GET", "/v1/operator/raft/configuration", None),
    ("GET", "/v1/status/leader", None),
    ("GET", "/v1/acl/tokens", None),
    ("GET", "/v1/acl/policies", None),
    ("GET", "/v1/acl/roles", None),
    ("GET", "/v1/acl/auth-methods", None),
    ("GET", "/v1/acl/binding-rules", None),
    ("GET", "/v1/acl/replication", None),
    ("PUT", "/v1/acl/policy", {"Name": "kv-read"}),
    ("GET", "/v1/internal/ui/nodes", None),
    ("GET", "/v1/internal/ui/services", None),
]


class Server:
    def __init__(self, rig, binary):
        http, grpc, dns, server, lan, wan = free_ports(6)
        config = {
            "acl": {"enabled": True, "default_policy": "deny", "enable_key_list_policy": False,
                    "tokens": {"master": MASTER, "agent": MASTER}},
            "enable_central_service_config": True,
            "node_name": "here",
            "ports": {"http": http, "grpc": grpc, "dns": dns, "server": server, "serf_lan": lan, "serf_wan": wan},
        }
        file = rig.dir / "acl.json"
        file.write_text(json.dumps(config))
        rig.start("agent", [binary, "agent", "-dev", f"-config-file={file}"])
        self.url = f"http://127.0.0.1:{http}"
        wait_for("the server to answer", lambda: self.ask("GET", "/v1/kv/x", token=MASTER)[0] == 404, 30)

    def ask(self, method, path, body=None, token=""):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data=data, method=method)
        if token:
            request.add_header("X-Consul-Token", token)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def must(self, method, path, body=None):
        status, text = self.ask(method, path, body, MASTER)
        if status != 200:
            raise RuntimeError(f"{method} {path}: {status} {text}")
        return text

    def fill(self):
        """Something of every kind to be seen or not."""
        self.must("PUT", "/v1/catalog/register", {"Node": "n1", "Address": "127.0.0.2", "Service": {"Service": "web"},
                                                  "Check": {"Name": "up", "ServiceID": "web", "Status": "passing"}})
        self.must("PUT", "/v1/catalog/register", {"Node": "n1", "Address": "127.0.0.2", "Service": {"Service": "db"}})
        self.must("PUT", "/v1/agent/service/register", LOCAL)
        for key in ["app/x", "app/no", "sec/x"]:
            self.must("PUT", f"/v1/kv/{key}", "v")
        self.must("POST", "/v1/connect/intentions", {"SourceName": "web", "DestinationName": "db", "Action": "allow"})
        self.must("PUT", "/v1/config", {"Kind": "service-defaults", "Name": "web", "Protocol": "http"})
        self.must("PUT", "/v1/config", {"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http"}})
        self.must("PUT", "/v1/session/create", {"Node": "n1", "Checks": []})

    def tokens(self):
        secrets = {"": "", "unknown": "adf4238a-882b-9ddc-4a9d-5b6758e4159e", "management": MASTER}
        for name, rules in POLICIES.items():
            self.must("PUT", "/v1/acl/policy", {"Name": name, "Rules": rules})
            secrets[name] = self.token({"Policies": [{"Name": name}]})
        for name, policies in TOGETHER.items():
            more = {"ServiceIdentities": [{"ServiceName": "web"}]} if name == "identity" else {}
            more |= {"NodeIdentities": [{"NodeName": "n1", "Datacenter": "dc1"}]} if name == "identity" else {}
            secrets[name] = self.token({"Policies": [{"Name": policy} for policy in policies], **more})
        return secrets

    def token(self, body):
        return json.loads(self.must("PUT", "/v1/acl/token", body))["SecretID"]


def names(value):
    """What of an answer depends on rights: which things are named in it."""
    if isinstance(value, list):
        keys = ("Node", "Name", "ServiceName", "CheckID", "Key", "DestinationName", "Service", "Segment")
        return sorted({str(next((item[key] for key in keys if isinstance(item.get(key), str)), "?"))
                       if isinstance(item, dict) else str(item) for item in value})
    if isinstance(value, dict):
        return sorted(value)
    return type(value).__name__


def outcome(status, text):
    if status != 200:
        # Only of refusals for want of rights is the text of interest here.
        return [status, text if status in (401, 403) else ""]
    try:
        return [200, names(json.loads(text))]
    except ValueError:
        return [200, "text" if text else "empty"]


def all_outcomes(server):
    server.fill()
    out = {}
    for token, secret in server.tokens().items():
        status, text = 200, ""
        allowed = []
        for start in range(0, len(QUESTIONS), 60):
            status, text = server.ask("POST", "/v1/internal/acl/authorize", QUESTIONS[start:start + 60], secret)
            allowed += [question["Allow"] for question in json.loads(text)] if status == 200 else [f"{status} {text}"]
        out[f"{token} decides"] = allowed
        for method, path, body in REQUESTS:
            name = f"{token} {method} {path}" + (f" {json.dumps(body)}" if body is not None else "")
            # Each writes something that it may: put back what others look at.
            out[name] = outcome(*server.ask(method, path, body, secret))
            if out[name][0] == 200 and path == "/v1/agent/service/register":
                server.must("PUT", "/v1/agent/service/register", LOCAL)
                if "ID" not in body:
                    server.must("PUT", "/v1/agent/service/deregister/web")
            if path == "/v1/agent/reload":
                # A reload without a data directory forgets what was registered.
                server.must("PUT", "/v1/agent/service/register", LOCAL)
            if out[name][0] == 200 and path == "/v1/agent/check/register":
                server.must("PUT", "/v1/agent/check/deregister/nc")
            if out[name][0] == 200 and method == "DELETE":
                server.must("PUT", "/v1/kv/app/no", "v")
            if path == "/v1/kv/other":
                server.must("DELETE", "/v1/kv/other")
            if out[name][0] == 200 and path == "/v1/catalog/register" and "Check" in body:
                server.must("PUT", "/v1/catalog/deregister", {"Node": "n1", "CheckID": "c"})
    return out


def main():
    if sys.argv[1:2] == ["--record"]:
        with Rig() as rig:
            recorded = all_outcomes(Server(rig, sys.argv[2]))
            RECORDED.write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in recorded.items()) + "\n}\n")
            rig.check(f"recorded {len(recorded)} cases", True)
    expected = json.loads(RECORDED.read_text())
    later = json.loads((HERE / "later.json").read_text())
    with Rig() as rig:
        got = all_outcomes(Server(rig, rig.consul))
        for name, outcome in got.items():
            rig.equal(name, outcome, later.get(name, expected.get(name)))
        rig.equal("no case was lost", sorted(set(expected) - set(got)), [])


main()
