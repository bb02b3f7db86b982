"""DNS, asked by dig and dnspython: recorded answers of Consul 1.8.7, a live one beside ours, recursors, limits, broken messages.

A real Consul is the recursor and the second opinion; nothing that answers or asks here was written by us but our agent.
"""
import ipaddress
import json
import pathlib
import re
import socket
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
from rig import REAL_CONSUL, Agent, Rig, free_ports, wait_for

RECORDED = json.loads((pathlib.Path(__file__).parent / "recorded.json").read_text())
NODE = "conf-node"
HERE = "127.0.0.1"

# Beside the recorded catalog, for the comparison with a live Consul.
MORE = [
    {"Node": "dual", "Address": "192.0.2.50", "TaggedAddresses": {"lan_ipv4": "192.0.2.51", "lan_ipv6": "2001:db8::51"},
     "Service": {"ID": "dual", "Service": "dual", "Port": 80}},
    {"Node": "dual2", "Address": "192.0.2.60", "NodeMeta": {"a=b": "c=d`e", " sp ": "x", "RFC1035-x": "raw"},
     "Service": {"ID": "d2", "Service": "dual2", "Port": 81, "Address": "192.0.2.61",
                 "TaggedAddresses": {"lan_ipv4": {"Address": "192.0.2.62", "Port": 82},
                                     "lan_ipv6": {"Address": "2001:db8::62", "Port": 83}}}},
    {"Node": "chase", "Address": "192.0.2.70", "Service": {"ID": "c", "Service": "chase", "Port": 1, "Address": "db.service.consul"}},
    {"Node": "own", "Address": "192.0.2.71", "Service": {"ID": "c", "Service": "own", "Port": 1, "Address": "own.service.consul"}},
    {"Node": "loopa", "Address": "192.0.2.72", "Service": {"ID": "c", "Service": "loopa", "Port": 1, "Address": "loopb.service.consul"}},
    {"Node": "loopb", "Address": "192.0.2.73", "Service": {"ID": "c", "Service": "loopb", "Port": 1, "Address": "loopa.service.consul"}},
    {"Node": "mix1", "Address": "192.0.2.90", "Service": {"ID": "mix", "Service": "mix", "Port": 1}},
    {"Node": "mix2", "Address": "mix.example.com", "Service": {"ID": "mix", "Service": "mix", "Port": 1}},
    {"Node": "meta", "Address": "192.0.2.91", "NodeMeta": {"m": "n"},
     "Service": {"ID": "meta", "Service": "meta", "Port": 1, "Address": "192.0.2.92"}},
    {"Node": "two", "Address": "192.0.2.80", "Service": {"ID": "two1", "Service": "two", "Port": 1}},
    {"Node": "two", "Address": "192.0.2.80", "Service": {"ID": "two2", "Service": "two", "Port": 2}},
    {"Node": "tcpnode", "Address": "192.0.2.95", "Service": {"ID": "t", "Service": "tt", "Port": 1, "Tags": ["tcp", "x.y"]}},
    {"Node": "native", "Address": "192.0.2.97", "Service": {"ID": "nat", "Service": "nat", "Port": 1, "Connect": {"Native": True}}},
]
NAMES = """
n1.node n1.node.dc1 n1.node.dc9 N1.NODE dual.node dual2.node cname.node nodedead.node dotted.node.node nobody.node und_er.node a.b.c.node node
db.service db.service.dc1 db.service.dc9 primary.db.service v1.primary.db.service REPLICA.db.service nope.db.service dual.service
dual2.service chase.service own.service mix.service meta.service two.service tt.service tcp.tt.service x.y.tt.service
_tt._tcp.service _tt._udp.service _tt._tcp _tt._tcp.dc1 _tt._tcp.dc9 _tt.service ext.service cnsvc.service alldead.service maint.service
six.service sixaddr.service bad_name.service Mixed-Case.service consul.service nobody.service service
db.connect nat.connect x.nat.connect db.connect.dc1 connect db.ingress igw.ingress six.ingress ingress
0a000001.addr.dc1 0a000001.addr 0a000001.addr.dc9 xx0000zz.addr zz.addr x.0a000001.addr addr nobody.query query frob x.y.z
""".split()
TYPES = "A AAAA SRV ANY TXT CNAME NS SOA MX".split()
# Where we differ on purpose; docs/differences.md says why.
ON_PURPOSE = re.compile(r"^(chase\.service (AAAA|MX|CNAME)|n1\.node\.dc9 (SRV|CNAME|MX))$")


def ask(port, name, kind="A", tcp=False, edns=None, rd=False, ecs=None, timeout=5, **_):
    """The answer as dnspython reads it."""
    options = [dns.edns.ECSOption.from_text(ecs)] if ecs else []
    with_edns = {"use_edns": 0, "payload": edns, "options": options} if edns else {"use_edns": -1}
    query = dns.message.make_query(name, kind, **with_edns)
    query.flags = dns.flags.RD if rd else 0
    send = dns.query.tcp if tcp else dns.query.udp
    return send(query, HERE, timeout=timeout, port=port, one_rr_per_rrset=True)


def record(rr):
    (data,) = rr
    kind = dns.rdatatype.to_text(rr.rdtype)
    if kind == "TXT":
        text = "|".join(part.decode("latin1") for part in data.strings)
    elif kind == "SOA":
        text = f"{data.mname} {data.rname} <serial> {data.refresh} {data.retry} {data.expire} {data.minimum}"
    elif kind == "AAAA":
        text = str(ipaddress.ip_address(data.address))
    else:
        text = data.to_text()
    return f"{rr.name} {kind} {rr.ttl} {text}"


def told(answer, count=False):
    """An answer as the recordings write it."""
    sections = {name: sorted(map(record, getattr(answer, name))) for name in ("answer", "authority", "additional")}
    if answer.edns >= 0:
        sections["additional"] = sorted([f". OPT 0 udp={answer.payload}", *sections["additional"]])
    if count:
        sections = {name: len(records) for name, records in sections.items()}
        sections["at_most_512"] = len(answer.wire) <= 512
    flags = {name: bool(answer.flags & flag) for name, flag in
             (("aa", dns.flags.AA), ("tc", dns.flags.TC), ("ra", dns.flags.RA))}
    return {"rcode": dns.rcode.to_text(answer.rcode()), **flags, **sections}


def fill(agent, more=()):
    for body in [*RECORDED["register"], *more]:
        assert agent.put("/v1/catalog/register", body)[0] == 200, body
    for body in RECORDED["config"]:
        assert agent.put("/v1/config", body)[0] == 200, body
    return agent


def with_config(rig, name, config):
    path = rig.dir / f"{name}.json"
    path.write_text(json.dumps(config))
    return rig.agent(name, [f"-node={NODE}", f"-config-file={path}"])


def real(rig, name, *extra):
    """A real Consul on ports of its own."""
    http, dns_port, server, serf, wan, grpc = free_ports(6)
    ports = f'ports {{ server = {server} serf_lan = {serf} serf_wan = {wan} grpc = {grpc} https = -1 }}'
    argv = [REAL_CONSUL, "agent", "-dev", f"-node={NODE}", f"-http-port={http}", f"-dns-port={dns_port}", f"-hcl={ports}", *extra]
    agent = Agent(rig, http, rig.start(name, argv), dns_port)
    wait_for(f"{name} to lead", lambda: agent.get("/v1/catalog/nodes")[1], 30)
    agent.server = server
    return agent


def recorded(rig, plain):
    tuned = fill(with_config(rig, "tuned", RECORDED["tuned"]))
    queries = [agent.get("/v1/query", "POST", body)[0] for agent in (plain, tuned) for body in RECORDED["queries"]]
    rig.check("prepared queries are taken", queries == [200] * len(queries), queries)
    for case in RECORDED["cases"]:
        question = dict(case["question"])
        agent = tuned if question.pop("config", None) else plain
        count = question.get("count", False)
        got = told(ask(agent.dns, question.pop("name"), question.pop("type"), **question), count)
        wanted = json.loads(json.dumps(case["response"]).replace("<server port>", "8300"))
        rig.equal(f"recorded: {case['id']}", got, wanted)


def side_by_side(rig, ours, theirs):
    """Every name with every type; one line for each name."""
    for name in NAMES:
        different = []
        for kind in TYPES:
            if ON_PURPOSE.match(f"{name} {kind}"):
                continue
            for options in ({}, {"edns": 4096}, {"tcp": True}):
                mine, real = (told(ask(agent.dns, f"{name}.consul", kind, **options)) for agent in (ours, theirs))
                port = f" {theirs.server} "
                for section in ("answer", "additional"):
                    # Equal records are said once by us; the port of the servers is each one's own.
                    real[section] = sorted({text.replace(port, " 8300 ") for text in real[section]})
                    if name.startswith("0A"):
                        real[section] = [text.lower() for text in real[section]]
                if mine != real:
                    different.append((kind, options, mine, real))
        rig.check(f"beside a real Consul: {name}", not different, "".join(f"\n      {d}" for d in different[:2]))


def dig(rig, agent, *words):
    code, out, err = rig.run(["dig", f"@{HERE}", "-p", agent.dns, "+tries=1", "+time=3", *words])
    return out + err


def by_dig(rig, agent):
    def short(*words):
        return sorted(dig(rig, agent, "+short", *words).split("\n")[:-1])

    rig.equal("dig: A", short("db.service.consul"), ["192.0.2.1", "192.0.2.22"])
    rig.equal("dig: SRV", short("db.service.consul", "SRV"), ["1 1 5432 n1.node.dc1.consul.", "1 2 5433 c0000216.addr.dc1.consul."])
    rig.equal("dig -x", short("-x", "192.0.2.1"), ["n1.node.dc1.consul."])
    rig.equal("dig -x of IPv6", short("-x", "2001:db8::6"), ["n6.node.dc1.consul."])
    rig.equal("dig +tcp", len(short("+tcp", "many.service.consul")), 40)
    rig.equal("dig +keepopen", len(short("+tcp", "+keepopen", *["many.service.consul"] * 5)), 200)
    rig.equal("dig's own EDNS", len(short("many.service.consul")), 40)
    rig.equal("dig +noedns", len(short("+noedns", "many.service.consul")), 3)
    rig.equal("dig +cookie +nsid +keepalive +dnssec", short("+cookie", "+nsid", "+keepalive", "+dnssec", "n1.node.consul"),
              ["192.0.2.1"])
    for words, wanted in ((["+edns=1", "+noednsneg", "n1.node.consul"], "BADVERS"), (["+opcode=update", "n1.node.consul"], "NOTIMP"),
                          (["+opcode=notify", "n1.node.consul"], "NOTIMP"), (["-c", "CH", "version.bind", "TXT"], "REFUSED"),
                          (["www.example.com"], "REFUSED")):
        rig.check(f"dig {' '.join(words)}: {wanted}", f"status: {wanted}" in dig(rig, agent, *words), dig(rig, agent, *words))
    rig.check("dig AXFR fails", "Transfer failed" in dig(rig, agent, "consul", "AXFR"))
    subnet = dig(rig, agent, "+subnet=198.51.100.0/24", "db.service.consul")
    rig.check("dig +subnet: good for everybody", "CLIENT-SUBNET: 198.51.100.0/24/0" in subnet, subnet)
    odd = dig(rig, agent, "dB.sErViCe.CoNsUl")
    rig.check("dig: the case of the question is kept", odd.count("dB.sErViCe.CoNsUl.") == 3, odd)
    clean = dig(rig, agent, "many.service.consul", "SRV")
    rig.check("dig has nothing to warn of", "WARNING: recursion" not in clean.replace(
        "WARNING: recursion requested but not available", "") and "malformed" not in clean, clean)


def sizes(rig, agent):
    """Whatever room a client has, the answer fits and is not wasteful."""
    for kind in ("A", "SRV"):
        for size in (512, 600, 900, 1232, 2000, 4096):
            answer = ask(agent.dns, "many.service.consul", kind, edns=size)
            fuller = len(answer.wire) > size - 70 or len(answer.answer) == 40 or size == 512
            rig.check(f"{kind} within {size} bytes", len(answer.wire) <= size and fuller, (len(answer.wire), len(answer.answer)))
            targets = {rr[0].target for rr in answer.answer} if kind == "SRV" else set()
            explained = {rr.name for rr in answer.additional}
            rig.check(f"{kind} within {size} bytes: each target has its address", targets <= explained, targets - explained)
    first = {ask(agent.dns, "many.service.consul").answer[0][0].address for _ in range(1000)}
    rig.check("every instance comes first at some time", len(first) == 40, len(first))
    seen = {str(rr[0].target) for _ in range(400) for rr in ask(agent.dns, "many.service.consul", "SRV").answer}
    rig.check("three SRV records are others each time", len(seen) == 40, len(seen))


def big(rig, agent):
    for i in range(400):
        node = {"Node": f"big{i:04}", "Address": f"10.9.{i // 200}.{i % 200 + 1}", "NodeMeta": {"k": "v" * 500},
                "Service": {"ID": "big", "Service": "big", "Port": 1000 + i}}
        agent.put("/v1/catalog/register", node)
    answer = ask(agent.dns, "big.service.consul", "SRV", tcp=True)
    rig.check("a TCP answer is as full as it can be", 60000 < len(answer.wire) <= 65535, len(answer.wire))
    answer = ask(agent.dns, "big.service.consul", "SRV")
    rig.check("one large record after the other", 1 <= len(answer.answer) <= 3, len(answer.wire))
    answer = ask(agent.dns, "big0001.node.consul", "ANY", edns=1232)
    texts = [rr[0].strings for rr in answer.answer if rr.rdtype == dns.rdatatype.TXT]
    rig.equal("a long text is several strings", [len(b"".join(strings)) for strings in texts], [502])
    answer = ask(agent.dns, "big0001.node.consul")
    rig.check("an address goes without metadata that has no room", len(answer.answer) == 1 and len(answer.wire) <= 512)
    answer = ask(agent.dns, "big0001.node.consul", "ANY")
    rig.check("what was asked for and has no room is told", answer.flags & dns.flags.TC and len(answer.wire) <= 512, answer)


def fresh(rig, agent):
    """Whoever was told that a write is done sees it, and a change of health, at once."""
    wrong = []
    for i in range(100):
        port = 2000 + i
        body = {"Node": "new", "Address": "192.0.2.150", "Service": {"ID": "fresh", "Service": "fresh", "Port": port}}
        agent.put("/v1/catalog/register", body)
        (rr,) = ask(agent.dns, "fresh.service.consul", "SRV").answer
        wrong += [] if rr[0].port == port else [(rr[0].port, port)]
    rig.check("100 writes are seen by the next query", not wrong, wrong)
    check = {"Node": "new", "CheckID": "mem", "Name": "mem", "Status": "critical"}
    agent.put("/v1/catalog/register", {"Node": "new", "Address": "192.0.2.150", "Check": check})
    rig.equal("a critical node takes its services out", ask(agent.dns, "fresh.service.consul").rcode(), dns.rcode.NXDOMAIN)
    agent.put("/v1/catalog/deregister", {"Node": "new", "CheckID": "mem"})
    rig.equal("and they come back", ask(agent.dns, "fresh.service.consul").rcode(), dns.rcode.NOERROR)
    agent.put("/v1/catalog/deregister", {"Node": "new", "ServiceID": "fresh"})
    rig.equal("a removed service is gone", ask(agent.dns, "fresh.service.consul").rcode(), dns.rcode.NXDOMAIN)


def ended(connection):
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def broken(rig, agent):
    query = dns.message.make_query("n1.node.consul", "A").to_wire()

    def raw(message):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.3)
            s.sendto(message, (HERE, agent.dns))
            try:
                return s.recvfrom(65535)[0]
            except TimeoutError:
                return None

    rig.equal("less than a header: silence", raw(query[:11]), None)
    rig.equal("an answer: silence", raw(query[:2] + b"\x81\x80" + query[4:]), None)
    for name, message in (("a question cut off", query[:20]), ("two questions", query[:5] + b"\2" + query[6:]),
                          ("a pointer in the question", query[:12] + b"\xc0\x0c" + query[-4:]),
                          ("a label of 64 bytes", query[:12] + b"\x40" + b"a" * 64 + b"\0\0\1\0\1"),
                          ("a name of 300 bytes", query[:12] + b"\x3f" * 300 + b"\0\0\1\0\1"),
                          ("records that are not there", query[:11] + b"\x09" + query[12:]), ("garbage", query[:12] + b"\xff" * 400)):
        answer = raw(message)
        rig.check(f"{name}: FORMERR", answer is not None and answer[:2] == query[:2] and answer[3] & 15 == 1, answer)
    with socket.create_connection((HERE, agent.dns), 5) as s:
        s.sendall(struct.pack("!H", 65535) + b"x")
        rig.check("a query that is too long ends its connection", ended(s))
    idle = [socket.create_connection((HERE, agent.dns), 5) for _ in range(50)]
    rig.equal("connections that say nothing are in nobody's way", len(ask(agent.dns, "many.service.consul", tcp=True).answer), 40)
    start = time.monotonic()
    idle[0].settimeout(20)
    closed = idle[0].recv(1)
    rig.check("they are closed after ten seconds", closed == b"" and 7 < time.monotonic() - start < 15, time.monotonic() - start)
    for s in idle:
        s.close()
    rig.equal("after all that it answers", str(ask(agent.dns, "n1.node.consul").answer[0][0]), "192.0.2.1")


def pipelined(rig, agent):
    with socket.create_connection((HERE, agent.dns), 5) as s:
        queries = [dns.message.make_query(f"m{i:02}.node.consul", "A") for i in range(1, 41)]
        s.sendall(b"".join(struct.pack("!H", len(q.to_wire())) + q.to_wire() for q in queries))
        answers = [dns.query.receive_tcp(s, one_rr_per_rrset=True)[0] for _ in queries]
    good = [query.is_response(answer) and answer.answer[0][0].address for query, answer in zip(queries, answers)]
    rig.equal("40 queries at once on a connection", good, [f"10.0.1.{i}" for i in range(1, 41)])


def recursors(rig):
    """A real Consul as the server of `example.`, behind one that is dead and one that refuses."""
    other = real(rig, "other", "-domain=example.")
    for i in range(40):
        other.put("/v1/catalog/register", {"Node": f"w{i}", "Address": f"10.8.0.{i + 1}",
                                           "Service": {"ID": "web", "Service": "web", "Port": 1}})
    other.put("/v1/catalog/register", {"Node": "one", "Address": "10.8.1.1"})
    refusing = real(rig, "refusing")
    (dead,) = free_ports(1)
    servers = [f"{HERE}:{port}" for port in (dead, refusing.dns, other.dns)]
    agent = fill(with_config(rig, "recursing", {"recursors": servers, "dns_config": {"recursor_timeout": "500ms"}}))
    for address in ("one.node.example", "nobody.example.com"):
        agent.put("/v1/catalog/register", {"Node": address.split(".")[0] + "-out", "Address": "192.0.2.200", "Service": {
            "ID": "out", "Service": "out-" + address.split(".")[0], "Port": 1, "Address": address}})

    def rr(answer):
        return sorted(map(record, answer.answer))

    answer = ask(agent.dns, "one.node.example", rd=True)
    rig.equal("a name of others over UDP", rr(answer), ["one.node.example. A 0 10.8.1.1"])
    rig.check("the answer is the recursor's own", answer.flags & dns.flags.AA and not answer.flags & dns.flags.RA)
    rig.equal("over TCP, whole", len(ask(agent.dns, "web.service.example", tcp=True).answer), 40)
    rig.equal("EDNS goes through", len(ask(agent.dns, "web.service.example", edns=4096).answer), 40)
    rig.equal("NXDOMAIN is an answer", ask(agent.dns, "nobody.node.example").rcode(), dns.rcode.NXDOMAIN)
    answer = ask(agent.dns, "www.nowhere.test")
    rig.check("that nobody knows is SERVFAIL", answer.rcode() == dns.rcode.SERVFAIL and answer.flags & dns.flags.RA, answer)
    rig.check("our own answers offer recursion", ask(agent.dns, "n1.node.consul").flags & dns.flags.RA)
    rig.equal("a CNAME is followed outside", rr(ask(agent.dns, "out-one.service.consul")),
              ["one.node.example. A 0 10.8.1.1", "out-one.service.consul. CNAME 0 one.node.example."])
    answer = ask(agent.dns, "out-one.service.consul", "SRV", edns=1232)
    rig.equal("an SRV target of others is explained", [record(rr) for rr in answer.additional], ["one.node.example. A 0 10.8.1.1"])
    rig.equal("a CNAME that leads nowhere is the answer", rr(ask(agent.dns, "out-nobody.service.consul")),
              ["out-nobody.service.consul. CNAME 0 nobody.example.com."])
    rig.equal("an unknown address is asked for outside", ask(agent.dns, "9.9.9.10.in-addr.arpa", "PTR").rcode(), dns.rcode.SERVFAIL)
    rig.equal("our own is not", rr(ask(agent.dns, "1.2.0.192.in-addr.arpa", "PTR")), ["1.2.0.192.in-addr.arpa. PTR 0 n1.node.dc1.consul."])
    start = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for i in range(200):
            s.sendto(dns.message.make_query(f"x{i}.nowhere.test", "A").to_wire(), (HERE, agent.dns))
        ask(agent.dns, "n1.node.consul")
    rig.check("200 waiting questions keep nobody waiting", time.monotonic() - start < 2, time.monotonic() - start)


def main(rig):
    rig.check("a real Consul 1.8.7 is at hand", REAL_CONSUL.exists(), str(REAL_CONSUL))
    plain = fill(rig.agent("plain", [f"-node={NODE}"]), MORE)
    banner = rig.log("plain")
    rig.check("the banner tells the port", f"DNS: {plain.dns})" in banner, banner[:800])
    theirs = fill(real(rig, "real"), MORE)
    recorded(rig, plain)
    side_by_side(rig, plain, theirs)
    by_dig(rig, plain)
    sizes(rig, plain)
    fresh(rig, plain)
    pipelined(rig, plain)
    broken(rig, plain)
    recursors(rig)
    big(rig, plain)


if __name__ == "__main__":
    with Rig() as rig:
        main(rig)
