"""Discovery chains: the same entries and questions, asked of us, against what a real Consul answered.

`run.py --record` asks a real Consul instead and rewrites recorded.json.
"""
import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from cases import CASES
from rig import REAL_CONSUL, Agent, Rig, free_ports, wait_for

RECORDED = pathlib.Path(__file__).with_name("recorded.json")
# In an order in which nothing stands on what is gone already.
KINDS = ["ingress-gateway", "terminating-gateway", "service-router", "service-splitter", "service-resolver", "service-defaults", "proxy-defaults"]
DOMAIN = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}\.consul")


def step(agent, step):
    """[status, body] of one step; the trust domain, which every cluster makes for itself, has a name."""
    if isinstance(step, dict):
        answer = agent.put("/v1/config", step)
    elif isinstance(step, str):
        answer = agent.get(f"/v1/config/{step}", "DELETE")
    else:
        service, asked = step
        asked = dict(asked)
        dc = asked.pop("dc", None)
        path = f"/v1/discovery-chain/{service}" + (f"?compile-dc={dc}" if dc else "")
        answer = agent.get(path, "POST", asked) if asked else agent.get(path)
    return [answer[0], json.loads(DOMAIN.sub("TRUST-DOMAIN", json.dumps(answer[1])))]


def empty(agent):
    """Removes every entry. A chain may need an entry of a kind before; so until nothing is left."""
    def sweep():
        left = []
        for kind in KINDS:
            for entry in agent.get(f"/v1/config/{kind}")[1] or []:
                if agent.get(f"/v1/config/{kind}/{entry['Name']}", "DELETE")[0] != 200:
                    left.append(entry)
        return not left
    wait_for("all entries to be gone", sweep)


def play(agent, steps):
    empty(agent)
    return [step(agent, one) for one in steps]


def describe(step):
    if isinstance(step, dict):
        return f"write {step['Kind']}/{step['Name']}"
    return f"remove {step}" if isinstance(step, str) else f"chain of {step[0]} {step[1] or ''}".rstrip()


def differences(got, wanted, path=""):
    if isinstance(got, dict) and isinstance(wanted, dict):
        for key in sorted(set(got) | set(wanted)):
            if key not in got or key not in wanted:
                yield f"{path}.{key} {'is missing' if key not in got else 'should not be there'}"
            else:
                yield from differences(got[key], wanted[key], f"{path}.{key}")
    elif isinstance(got, list) and isinstance(wanted, list) and len(got) == len(wanted):
        for at, pair in enumerate(zip(got, wanted)):
            yield from differences(*pair, f"{path}[{at}]")
    elif got != wanted:
        yield f"{path} is {got!r:.120}, not {wanted!r:.120}"


def real_consul(rig):
    http, lan, server = free_ports(3)
    argv = [REAL_CONSUL, "agent", "-dev", "-bind=127.0.0.1", "-grpc-port=-1", "-dns-port=-1", "-serf-wan-port=-1",
            f"-http-port={http}", f"-serf-lan-port={lan}", f"-server-port={server}"]
    agent = Agent(rig, http, rig.start("real", argv))
    wait_for("the real Consul", lambda: (agent.get("/v1/connect/ca/roots")[1] or {}) and
             agent.get("/v1/connect/ca/roots")[0] == 200, 30)
    return agent


def main(rig):
    if "--record" in sys.argv:
        agent = real_consul(rig)
        recorded = {name: play(agent, steps) for name, steps in CASES.items()}
        RECORDED.write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'), sort_keys=True)}"
                                               for k, v in recorded.items()) + "\n}\n")
        return rig.check(f"{len(recorded)} cases recorded", True)
    agent = rig.agent()
    recorded = json.loads(RECORDED.read_text())
    rig.equal("every case is recorded", sorted(CASES), sorted(recorded))
    for name, steps in CASES.items():
        wrong = []
        for one, got, wanted in zip(steps, play(agent, steps), recorded.get(name, [])):
            wrong += [f"{describe(one)}: {d}" for d in differences(got, wanted)]
        rig.check(name, not wrong, "".join(f"\n      {line}" for line in wrong[:6]))


with Rig() as rig:
    main(rig)
