"""Snapshots: ours put back as they were, a real Consul's put into ours, and what is no snapshot refused."""
import gzip
import io
import json
import pathlib
import re
import sys
import tarfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from rig import REAL_CONSUL, Agent, Rig, fetch_raw, free_ports, wait_for

WRITES = [
    ("PUT", "/v1/kv/a/b?flags=7", b"\x00\xff bytes"),
    ("PUT", "/v1/kv/empty", b""),
    ("PUT", "/v1/catalog/register", {
        "Node": "ext", "Address": "192.0.2.1", "NodeMeta": {"external-node": "true"}, "TaggedAddresses": {"wan": "192.0.2.2"},
        "Service": {"ID": "db1", "Service": "db", "Tags": ["primary"], "Port": 5432, "Meta": {"v": "1"}, "Weights": {"Passing": 3, "Warning": 1}},
        "Checks": [{"Name": "up", "CheckID": "up", "Status": "passing", "ServiceID": "db1", "Output": "fine"},
                   {"Name": "node", "CheckID": "node", "Status": "warning"}]}),
    ("PUT", "/v1/catalog/register", {
        "Node": "ext", "Address": "192.0.2.1", "NodeMeta": {"external-node": "true"}, "TaggedAddresses": {"wan": "192.0.2.2"},
        "Service": {"Kind": "connect-proxy", "ID": "db-proxy", "Service": "db-proxy", "Port": 21000,
                    "Proxy": {"DestinationServiceName": "db", "Config": {"protocol": "http", "n": 5},
                              "Upstreams": [{"DestinationName": "web", "LocalBindPort": 9191}]}}}),
    ("PUT", "/v1/config", {"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http", "deep": {"x": [1, "a"]}}}),
    ("PUT", "/v1/config", {"Kind": "service-defaults", "Name": "web", "Protocol": "http", "MeshGateway": {"Mode": "local"}}),
    ("PUT", "/v1/config", {"Kind": "service-resolver", "Name": "web", "ConnectTimeout": "7s", "DefaultSubset": "v1",
                           "Subsets": {"v1": {"Filter": "Service.Meta.v == 1", "OnlyPassing": True}}, "Failover": {"*": {"Datacenters": ["dc2"]}}}),
    ("PUT", "/v1/config", {"Kind": "service-router", "Name": "web", "Routes": [
        {"Match": {"HTTP": {"PathPrefix": "/x", "Methods": ["GET"]}}, "Destination": {"Service": "web", "RequestTimeout": "3s", "NumRetries": 2}}]}),
    ("PUT", "/v1/config", {"Kind": "ingress-gateway", "Name": "igw", "Listeners": [{"Port": 80, "Protocol": "http", "Services": [{"Name": "*"}]}]}),
    ("POST", "/v1/connect/intentions", {"SourceName": "web", "DestinationName": "db", "Action": "allow", "Description": "d", "Meta": {"k": "v"}}),
    ("POST", "/v1/connect/intentions", {"SourceName": "*", "DestinationName": "db", "Action": "deny"}),
    ("POST", "/v1/query", {"Name": "q", "Service": {"Service": "db", "Tags": ["primary"], "NodeMeta": {"external-node": "true"}}, "DNS": {"TTL": "3s"}}),
    ("POST", "/v1/query", {"Name": "t-", "Template": {"Type": "name_prefix_match", "Regexp": "^t-(.*)$"}, "Service": {"Service": "${match(1)}"}}),
    ("PUT", "/v1/session/create", {"Node": "ext", "Name": "s", "Checks": [], "NodeChecks": ["node"], "LockDelay": "3s", "Behavior": "delete"}),
]
# What both must answer the same. A server's own node is another one, so lists of nodes are not among them.
READS = [
    "/v1/kv/?recurse", "/v1/catalog/node/ext", "/v1/catalog/service/db", "/v1/health/node/ext", "/v1/health/connect/db",
    "/v1/config/proxy-defaults", "/v1/config/service-defaults", "/v1/config/service-resolver", "/v1/config/service-router",
    "/v1/config/ingress-gateway", "/v1/connect/intentions", "/v1/query", "/v1/query/t-db/explain", "/v1/session/node/ext",
    "/v1/connect/ca/roots", "/v1/discovery-chain/web",
]
# Given anew when they are put back, or measured.
# An upstream's kind is named by one and left out by the other.
VARIES = {"DestinationType", "CreateIndex", "ModifyIndex", "Index", "Hash", "CreatedAt", "UpdatedAt", "SerialNumber", "Type"}


def plain(value):
    """Without what varies, and without zero values: one of the two may leave them out."""
    if isinstance(value, dict):
        items = ((key, plain(item)) for key, item in value.items() if key not in VARIES)
        return {key: item for key, item in items if item not in (None, [], {}, "", 0)}
    return [plain(item) for item in value] if isinstance(value, list) else value


def everything(agent):
    out = {}
    for path in READS:
        status, answer, _ = agent.get(path)
        out[path] = [status, plain(answer)]
    return out


def write(agent, writes):
    for method, path, body in writes:
        status, answer, _ = agent.get(path, method, body)
        assert status == 200, (path, status, answer)


def save(agent):
    status, archive, headers = fetch_raw(agent.url + "/v1/snapshot")
    assert status == 200 and headers["Content-Type"] == "application/x-gzip", (status, archive[:200])
    return archive


def restore(agent, archive):
    return fetch_raw(agent.url + "/v1/snapshot", "PUT", archive)[:2]


def compare(rig, what, got, wanted):
    for path in READS:
        rig.equal(f"{what}: {path}", got[path], wanted[path])


def packed(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(out.getvalue())


def ours(rig):
    agent = rig.agent("ours")
    write(agent, WRITES)
    wanted, archive = everything(agent), save(agent)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {name: tar.extractfile(name).read() for name in tar.getnames()}
    rig.equal("three files", list(files), ["meta.json", "state.bin", "SHA256SUMS"])
    meta = json.loads(files["meta.json"])
    rig.check("the description is true", meta["Size"] == len(files["state.bin"]) and meta["Index"] > 1 and meta["Version"] == 1, meta)
    agent.get("/v1/kv/?recurse", "DELETE")
    agent.put("/v1/kv/later", b"x")
    agent.get("/v1/config/service-router/web", "DELETE")
    agent.put("/v1/catalog/deregister", {"Node": "ext"})
    rig.equal("put back", restore(agent, archive), (200, b""))
    compare(rig, "as it was", everything(agent), wanted)
    other = rig.agent("other")
    rig.equal("put into another", restore(other, archive), (200, b""))
    compare(rig, "in another", everything(other), wanted)
    refusals(rig, other, files, archive)
    compare(rig, "after refusals", everything(other), wanted)


def refusals(rig, agent, files, archive):
    state, sums = files["state.bin"], files["SHA256SUMS"]
    meta = files["meta.json"]
    prefix = "failed to read snapshot file: "
    for name, body, words in [
        ("nothing", b"", "failed to decompress snapshot: EOF"),
        ("a text", b"garbage", "failed to decompress snapshot: unexpected EOF"),
        ("an empty archive", gzip.compress(b""), prefix + 'failed checking integrity of snapshot: file missing for "meta.json"'),
        ("another file in it", packed([("meta.json", meta), ("state.bin", state), ("SHA256SUMS", sums), ("x", b"")]),
         prefix + 'unexpected file "x" in snapshot'),
        ("a changed state", packed([("meta.json", meta), ("state.bin", state + b"x"), ("SHA256SUMS", sums)]),
         prefix + 'failed checking integrity of snapshot: hash check failed for "state.bin"'),
        ("half of it", archive[: len(archive) // 2], prefix + "failed to read or write snapshot data: unexpected EOF"),
    ]:
        rig.equal(f"{name} is refused", restore(agent, body), (500, words.encode()))


def from_consul(rig):
    http, lan, server = free_ports(3)
    argv = [REAL_CONSUL, "agent", "-dev", "-bind=127.0.0.1", "-grpc-port=-1", "-dns-port=-1", "-serf-wan-port=-1",
            f"-http-port={http}", f"-serf-lan-port={lan}", f"-server-port={server}"]
    real = Agent(rig, http, rig.start("real", argv))
    wait_for("the real Consul", lambda: real.get("/v1/connect/ca/roots")[0] == 200, 30)
    write(real, WRITES)
    wanted = everything(real)
    agent = rig.agent("heir")
    rig.equal("a real Consul's is put into ours", restore(agent, save(real)), (200, b""))
    got = everything(agent)
    # Times of ours are whole seconds.
    trim = lambda answer: json.loads(re.sub(r"(\d\d:\d\d:\d\d)\.\d+Z", r"\1Z", json.dumps(answer)))
    compare(rig, "from Consul", trim(got), trim(wanted))
    leaf = agent.get("/v1/agent/connect/ca/leaf/web")
    rig.check("and its authority signs", leaf[0] == 200 and "BEGIN CERTIFICATE" in leaf[1]["CertPEM"], leaf[:2])


def main(rig):
    ours(rig)
    from_consul(rig)


with Rig() as rig:
    main(rig)
