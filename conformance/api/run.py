"""The HTTP API, request by request, against what a real Consul 1.8.7 answered to the same (`cases.jsonl`).

Compared are the status, the content type, the headers that Consul's clients read, texts, the shape of JSON (keys and
types; null, [] and {} are told apart) and those values that two recordings agreed about. A case that is meant to
differ stands in `differences.tsv` with the reason; when it does not differ any more, that line is wrong and fails.
"""
import json
import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from rig import Agent, Rig, fetch_raw, free_ports, wait_for

HERE = pathlib.Path(__file__).parent
NODES = {"dev": "conf-node", "acl": "acl-node"}
MASTER = "e95b599e-166e-7d80-08ad-aee76e7ddf19"
AGENTS = {
    "dev": {"enable_central_service_config": True},
    "acl": {"acl": {"enabled": True, "default_policy": "deny", "tokens": {"master": MASTER, "agent": MASTER}}},
}


def shape(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        shapes = []
        for item in value:
            if shape(item) not in shapes:
                shapes.append(shape(item))
        return shapes
    return {key: shape(item) for key, item in sorted(value.items())}


def leaves(value, path=""):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from leaves(item, f"{path}[{at}]")
    else:
        yield path, value


def mask(text, ports):
    """What is another thing in every run has a name."""
    for name, port in ports.items():
        text = re.sub(rf"\b{port}\b", f"<{name} port>", text)
    text = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<uuid>", text)
    text = re.sub(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "<time>", text)
    text = re.sub(r"(index:? )\d+", r"\1<n>", text)
    return re.sub(r"agent not ready|0x[0-9a-f]+", "<hex>", text)


def fill(value, saved):
    if isinstance(value, str):
        return re.sub(r"(?<!\$)\{(\w+)\}", lambda m: saved.get(m.group(1), m.group(0)), value)
    if isinstance(value, list):
        return [fill(item, saved) for item in value]
    if isinstance(value, dict):
        return {key: fill(item, saved) for key, item in value.items()}
    return value


def is_met(status, text, until):
    what, wanted = until
    if what == "status":
        return status == wanted
    if status != 200:
        return False
    return len(json.loads(text) or []) >= wanted if what == "len" else wanted in text


def ask(agent, case, saved):
    headers = dict(case.get("headers") or {})
    if case.get("token"):
        headers["X-Consul-Token"] = MASTER if case["token"] == "M" else fill(case["token"], saved)
    body = fill(case.get("body"), saved)
    data = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
    url = agent.url + fill(case["path"], saved)
    until = case.get("until")
    deadline = time.monotonic() + (15 if until else 0)
    while True:
        status, raw, got = fetch_raw(url, case["method"], data, headers)
        text = raw.decode(errors="replace")
        if not until or time.monotonic() > deadline or is_met(status, text, until):
            return status, text, {key.lower(): value for key, value in got.items()}
        time.sleep(0.1)


def differences(case, answer, ports, saved):
    wanted, (status, text, headers) = case["response"], answer
    if status != wanted["status"]:
        yield f"status {status}, not {wanted['status']} ({text.strip()[:60]})"
    kind = headers.get("content-type", "")
    if kind.replace(" ", "").lower() != wanted["type"].replace(" ", "").lower():
        yield f"type {kind!r}, not {wanted['type']!r}"
    named = {name.lower() for name in wanted["headers"]}
    for name in sorted(named - set(headers)):
        yield f"without header {name}"
    for name in sorted(name for name in set(headers) - named if name.startswith("x-consul")):
        yield f"extra header {name}"
    for name, value in (wanted.get("header_values") or {}).items():
        if name in headers and headers[name] != value:
            yield f"{name}: {headers[name]}, not {value}"
    if case.get("loose"):
        return
    document = None
    if kind.startswith("application/json"):
        document = json.loads(text)
        save(case, document, saved)
    if "text" in wanted:
        got = mask(text, ports) if document is None else "<json>"
        if got != wanted["text"]:
            yield f"text {got[:70]!r}, not {wanted['text'][:70]!r}"
    if "shape" in wanted:
        if not kind.startswith("application/json"):
            yield f"no JSON: {text[:60]!r}"
            return
        yield from values(case, wanted, document)


def save(case, document, saved):
    for name, path in (case.get("save") or {}).items():
        value = document
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, str):
            saved[name] = value


def values(case, wanted, document):
    wrong = list(shapes(wanted["shape"], shape(document), ""))
    yield from wrong[:4]
    known = {} if case.get("unordered") else dict(leaves(document))
    for path, value in (wanted.get("values") or {}).items():
        if path in known and known[path] != value:
            yield f"{path or '.'} = {json.dumps(known[path])[:40]}, not {json.dumps(value)[:40]}"
        elif path not in known and not wrong:
            yield f"no {path}"


def shapes(wanted, got, path):
    if isinstance(wanted, dict) and isinstance(got, dict):
        # The insides of an agent are its own affair.
        if "DebugConfig" in path or "Stats" in path:
            return
        missing, extra = sorted(set(wanted) - set(got)), sorted(set(got) - set(wanted))
        if missing:
            yield f"{path or '.'} lacks {','.join(missing)[:80]}"
        if extra:
            yield f"{path or '.'} has also {','.join(extra)[:80]}"
        for key in set(wanted) & set(got):
            yield from shapes(wanted[key], got[key], f"{path}.{key}".strip("."))
    elif isinstance(wanted, list) and isinstance(got, list):
        if bool(wanted) != bool(got):
            yield f"{path or '.'} is {'filled' if got else 'empty'}, not {'filled' if wanted else 'empty'}"
        elif all(isinstance(item, str) for item in wanted + got):
            if set(wanted) != set(got):
                yield f"{path}[] {got}, not {wanted}"
        else:
            # Items of a list may have several shapes: each of ours must be one of theirs.
            for item in (item for item in got if item not in wanted):
                tries = [list(shapes(one, item, path + "[]")) or ["?"] for one in wanted]
                yield from (line for line in min(tries, key=len) if line != "?")
    elif wanted != got:
        name = lambda s: "object" if isinstance(s, dict) else "array" if isinstance(s, list) else s
        yield f"{path or '.'} is {name(got)}, not {name(wanted)}"


def start(rig, kind):
    names = ("http", "dns", "server", "serf_lan", "serf_wan", "grpc")
    ports = dict(zip(names, free_ports(len(names))))
    config = {"node_name": NODES[kind], "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1",
              "ports": dict(ports, https=-1), **AGENTS[kind]}
    (rig.dir / f"{kind}.json").write_text(json.dumps(config))
    process = rig.start(kind, [rig.consul, "agent", "-dev", "-config-file", f"{kind}.json"])
    agent = Agent(rig, ports["http"], process)
    token = {"X-Consul-Token": MASTER}
    wait_for(f"the agent {kind}", lambda: any(
        check["CheckID"] == "serfHealth" for check in listed(agent.get(f"/v1/health/node/{NODES[kind]}", headers=token)[1])), 20)
    return agent, ports


def listed(answer):
    return answer if isinstance(answer, list) else []


def main(rig):
    cases = [json.loads(line) for line in (HERE / "cases.jsonl").read_text().splitlines()]
    lines = (line.split("\t") for line in (HERE / "differences.tsv").read_text().splitlines() if line[:1] != "#")
    meant = {name: reason for name, reason in lines}
    only = re.compile(sys.argv[1]) if len(sys.argv) > 1 else None
    for kind in AGENTS:
        agent, ports = start(rig, kind)
        saved = {}
        # All are asked, in order: later ones stand on what earlier ones wrote.
        for case in (case for case in cases if case["agent"] == kind):
            wrong = list(differences(case, ask(agent, case, saved), ports, saved))
            if only and not only.search(case["id"]):
                continue
            if case["id"] in meant:
                reason = meant[case["id"]]
                rig.check(f"{case['id']}: differs, {reason}", wrong or reason.startswith("~"), "(it does not)")
            else:
                rig.check(case["id"], not wrong, "; ".join(wrong)[:300])


with Rig() as rig:
    main(rig)
