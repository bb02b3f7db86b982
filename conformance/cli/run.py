"""The words of a real Consul 1.8.7's command line, recorded (`cases.jsonl`), replayed with ours against our own agent."""
import json
import pathlib
import re
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from rig import Agent, Rig, free_ports, wait_for

PORTS = ("http", "dns", "server", "serf_lan", "serf_wan", "grpc")
# Our text has a line more, or the answer is a newer Consul's: docs/differences.md says why.
MORE = {"config-write-bad-kind", "config-write-unknown-key"}
NEWER = {"services-deregister-unknown"}

# Commands that must say in one line that nobody answers.
UNREACHABLE = [
    ["kv", "get", "x"], ["kv", "put", "x", "y"], ["kv", "delete", "x"], ["kv", "export"], ["maint"], ["event", "-name", "x"],
    ["watch", "-type", "services"], ["lock", "x", "true"], ["exec", "true"], ["rtt", "x"], ["operator", "raft", "list-peers"],
    ["operator", "autopilot", "get-config"], ["snapshot", "save", "x.snap"], ["connect", "ca", "get-config"], ["info"],
    ["force-leave", "x"], ["catalog", "nodes"], ["intention", "list"], ["config", "list", "-kind", "service-defaults"],
    ["monitor"], ["reload"], ["leave"], ["troubleshoot", "upstreams", "-proxy-id", "x"],
]

def start(rig):
    """A dev agent whose every port is known, so that texts can be compared."""
    ports = dict(zip(PORTS, free_ports(len(PORTS))))
    config = {"node_name": "conf-node", "bind_addr": "127.0.0.1", "ports": dict(ports, https=-1), "disable_remote_exec": False}
    file = rig.dir / f"agent-{ports['http']}.json"
    file.write_text(json.dumps(config))
    process = rig.start(f"agent-{ports['http']}", [rig.consul, "agent", "-dev", "-config-file", file])
    agent = Agent(rig, ports["http"], process)
    wait_for("the agent to answer", lambda: agent.get("/v1/status/leader")[1], 15)
    return agent, ports

def mask(text, rig, ports):
    """What differs from run to run."""
    text = re.sub(r"(?sm)^(Usage: consul[^\n]*\n).+", r"\1<and so on>\n", text)
    text = re.sub(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}=", "<32 bytes base64>", text).replace(str(rig.dir), "<tmp>")
    for name, port in ports.items():
        text = re.sub(rf"\b{port}\b", f"<{name} port>", text)
    text = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<uuid>", text)
    text = re.sub(r"(?m)^(\S+ +)[0-9a-f]{8}( +127)", r"\1<8 hex>\2", text)
    text = re.sub(r"\w+day, \d\d-\w{3}-\d\d \d\d:\d\d:\d\d \w+", "<time>", text)
    text = re.sub(r"\b(Create|Modify|Lock)(Index| Index)(\"?:?\s+)\d+", r"\1\2\3<n>", text)
    text = re.sub(r"(index )\d+", r"\1<n>", text)
    text = re.sub(r"\d+\.\d+ ms", "<ms>", text)
    text = re.sub(r"Event ID: \S+", "Event ID: <id>", text)
    text = re.sub(r"(build=)[^\s,]+", r"\1<build>", text)
    text = re.sub(r"(?<=  )\d+\.\d+\.\d+\S*[ \t]+(?=\d  )", "<version>  ", text)
    # Columns are as wide as the numbers in them.
    return re.sub(r"[ \t]+", " ", re.sub(r"[ \t]+$", "", text, flags=re.M)).strip()

def shape(value):
    if isinstance(value, dict):
        return {key: shape(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        shapes = []
        for item in value:
            if shape(item) not in shapes:
                shapes.append(shape(item))
        return shapes
    kinds = {type(None): "null", bool: "bool", int: "number", float: "number", str: "string"}
    return kinds[type(value)]

def lacks(wanted, got, path=""):
    """What a recorded shape has and ours has not."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        return [m for key in wanted for m in ([f"{path}.{key}"] if key not in got else lacks(wanted[key], got[key], f"{path}.{key}"))]
    if isinstance(wanted, list) and isinstance(got, list):
        if not wanted or not got:
            return [] if bool(wanted) == bool(got) else [f"{path}[]"]
        return min((lacks(wanted[0], item, path + "[]") for item in got), key=len)
    return [] if wanted == got else [f"{path}: {got}, not {wanted}"]

def fill(word, values):
    return re.sub(r"\{(\w+)\}", lambda m: values.get(m.group(1), m.group(0)), word)

def run(rig, case, values):
    for name, text in (case.get("files") or {}).items():
        file = rig.dir / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    argv = [fill(word, values) if word.count("{") == 1 or "{tmp}" in word else word for word in case["argv"]]
    env = {"CONSUL_HTTP_ADDR": values["http"], "TZ": "UTC", "TERM": "dumb"}
    env.update({name: fill(value, values) for name, value in (case.get("env") or {}).items()})
    code, out, err = rig.run([rig.consul, *argv], env=env, timeout=60, stdin=case.get("stdin") or "")
    for name, pattern in (case.get("save") or {}).items():
        found = re.search(pattern, out)
        if found:
            values[name] = found.group(1)
    return code, out, err

def judge(case, code, out, err, rig, ports):
    """What is wrong; empty when nothing is."""
    wanted, mode, said = case["result"], case.get("mode", "exact"), []
    if case["id"] in NEWER:
        return [] if code == 1 and "404" in err else [f"exit {code}: {err}"]
    if code != wanted["code"]:
        said.append(f"exit {code}, not {wanted['code']}: {(out + err)[:200]}")
    if mode == "has":
        said += [f"lacks {text!r}" for text in case.get("want", []) if text not in out + err]
    if mode == "shape":
        try:
            said += lacks(wanted["shape"], shape(json.loads(out)))
        except ValueError:
            said.append(f"no JSON: {out[:100]!r}")
    if mode == "exact":
        for name, got in (("stdout", out), ("stderr", err)):
            recorded, ours = mask(wanted[name], rig, {}), mask(got, rig, ports)
            same = ours.startswith(recorded) if case["id"] in MORE else ours == recorded
            if not same:
                said.append(f"{name}\n      got    {ours!r}\n      wanted {recorded!r}")
    return said

def replay(rig, cases):
    for group in ("none", "dev", "last"):
        agent, ports = (None, dict(http=free_ports(1)[0])) if group == "none" else start(rig)
        values = {"tmp": str(rig.dir), "http": f"127.0.0.1:{ports['http']}"}
        for case in (case for case in cases if case["group"] == group):
            if case.get("after"):
                settle(agent, group)
            code, out, err = run(rig, case, values)
            said = judge(case, code, out, err, rig, ports)
            rig.check(f"recorded: {case['id']}", not said, "; ".join(said))

def settle(agent, group):
    """What the agent holds is in the catalog; one that was told to leave is gone."""
    def followed():
        names = {service["Service"] for service in agent.get("/v1/agent/services")[1].values()}
        return names <= set(agent.get("/v1/catalog/services")[1])
    if group == "last":
        wait_for("the agent to end", lambda: agent.process.poll() is not None, 20)
    else:
        wait_for("the catalog to follow", followed, 20)


def unreachable(rig):
    env = {"CONSUL_HTTP_ADDR": f"127.0.0.1:{free_ports(1)[0]}"}
    for argv in UNREACHABLE:
        code, out, err = rig.run([rig.consul, *argv], env=env)
        good = code == 1 and len(err.strip().splitlines()) == 1 and "connection refused" in err
        rig.check(f"nobody answers: {' '.join(argv)}", good, (code, out, err))

def interrupted(rig):
    agent, _ = start(rig)
    keys = lambda: agent.get("/v1/kv/l?keys")[1]
    for number in (signal.SIGINT, signal.SIGTERM):
        argv = [rig.consul, "lock", "-child-exit-code", "l", "trap 'exit 7' TERM; echo held; while :; do sleep 0.05; done"]
        holder = subprocess.Popen([str(word) for word in argv], env=agent.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        held = holder.stdout.readline() == "held\n" and keys() == ["l/.lock"]
        holder.send_signal(number)
        out, err = holder.communicate(timeout=15)
        good = held and holder.returncode == 2 and err == "Error running handler: exit status 7\n"
        rig.check(f"a held lock is given back on signal {number.value}", good and keys() == "", (holder.returncode, out, err, keys()))
    first = subprocess.Popen([str(rig.consul), "lock", "l", "sleep 60"], env=agent.env)
    wait_for("the lock to be held", lambda: keys() == ["l/.lock"])
    code, out, err = agent.cli("lock", "-try", "300ms", "l", "echo never")
    rig.check("a second holder gives up in time", code == 1 and out == "" and "timeout" in err, (code, out, err))
    first.send_signal(signal.SIGTERM)
    first.wait(15)
    wait_for("no session to be left", lambda: agent.get("/v1/session/list")[1] == [])
    rig.check("nothing is left behind", keys() == "")
    code, out, err = rig.run(["sh", "-c", f"{rig.consul} -h | head -1; {rig.consul} kv -h | head -1"])
    rig.check("a reader may go away", code == 0 and err == "" and out.count("Usage:") == 2, (code, out, err))

def main(rig):
    cases = [json.loads(line) for line in (HERE / "cases.jsonl").read_text().splitlines()]
    replay(rig, cases)
    unreachable(rig)
    interrupted(rig)

with Rig() as rig:
    main(rig)
