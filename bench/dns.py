"""DNS beside a real Consul: CPU seconds per query of either server, asked by dnsperf in turns.

    python3 bench/dns.py [OUR_BINARY [CONSUL]]

CPU time of the server alone (utime and stime of /proc/PID/stat) is what is compared: rates depend on who else uses the
machine, and here the client does.
"""
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "conformance"))
if len(sys.argv) > 1:
    os.environ["MESHGLASS_BIN"] = os.path.abspath(sys.argv[1])
os.environ.setdefault("MESHGLASS_BIN", str(ROOT / "target/release/meshglass"))
from rig import REAL_CONSUL, Agent, Rig, free_ports, wait_for

INSTANCES = 100
ROUNDS = 3
SECONDS = 3
TICK = os.sysconf("SC_CLK_TCK")
# What is asked, and how.
CASES = [
    ("A, 3 of 100", "web.service.consul A", []),
    ("A, 3 of 100, by tag", "v1.web.service.consul A", []),
    ("A, EDNS, all 100", "web.service.consul A", ["-e"]),
    ("SRV, 3 of 100", "web.service.consul SRV", []),
    ("SRV, EDNS", "web.service.consul SRV", ["-e"]),
    ("A, TCP, all 100", "web.service.consul A", ["-m", "tcp"]),
    ("node", "n7.node.consul A", []),
    ("unknown service", "nobody.service.consul A", []),
]


def cpu(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def fill(agent):
    for i in range(INSTANCES):
        check = {"Node": f"n{i}", "CheckID": "c", "Name": "c", "ServiceID": "web", "Status": "passing"}
        body = {"Node": f"n{i}", "Address": f"10.0.0.{i + 1}", "Check": check,
                "Service": {"ID": "web", "Service": "web", "Port": 8000 + i, "Tags": ["v1"]}}
        assert agent.put("/v1/catalog/register", body)[0] == 200


def consul(rig, binary):
    http, dns, server, serf, wan, grpc = free_ports(6)
    ports = f"ports {{ server = {server} serf_lan = {serf} serf_wan = {wan} grpc = {grpc} https = -1 }}"
    argv = [binary, "agent", "-dev", "-log-level=err", f"-http-port={http}", f"-dns-port={dns}", f"-hcl={ports}"]
    agent = Agent(rig, http, rig.start("consul", argv), dns)
    wait_for("Consul to lead", lambda: agent.get("/v1/catalog/nodes")[1], 30)
    return agent


def measure(rig, agent, question, options):
    """(queries answered, CPU seconds of the server)"""
    file = rig.dir / "question"
    file.write_text(question + "\n")
    before = cpu(agent.process.pid)
    argv = ["dnsperf", "-s", "127.0.0.1", "-p", agent.dns, "-d", file, "-l", SECONDS, "-c", 8, "-q", 100, *options]
    out = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=True).stdout
    used = cpu(agent.process.pid) - before
    return int(re.search(r"Queries completed:\s+(\d+)", out)[1]), used


def main(rig):
    binary = sys.argv[2] if len(sys.argv) > 2 else REAL_CONSUL
    agents = {"ours": rig.agent("ours", ["-log-level=err"]), "consul": consul(rig, binary)}
    for agent in agents.values():
        fill(agent)
    print(f"{'queries per CPU second of the server':38}{'ours':>12}{'consul':>12}{'ratio':>8}")
    for name, question, options in CASES:
        total = {label: [0, 0.0] for label in agents}
        for _ in range(ROUNDS):
            for label, agent in agents.items():
                queries, used = measure(rig, agent, question, options)
                total[label][0] += queries
                total[label][1] += used
        rates = {label: queries / max(used, 1 / TICK) for label, (queries, used) in total.items()}
        ratio = rates["ours"] / rates["consul"]
        print(f"{name:38}{rates['ours']:12.0f}{rates['consul']:12.0f}{ratio:8.1f}", flush=True)
        rig.check(f"{name}: answered by both", all(queries for queries, _ in total.values()), total)


if __name__ == "__main__":
    with Rig() as rig:
        main(rig)
