"""Keys, sessions, locks, transactions and events, judged by what their users have: python-consul, py-consul, npm's
consul, and `consul lock` of Consul's own command line against ours."""
import http.client
import json
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from rig import REAL_CONSUL, TOOLS, Rig, wait_for  # noqa: E402


def library(rig, name, argv, env=None):
    """Every case that a library's own script tells."""
    code, out, err = rig.run(argv, env=env, timeout=120)
    cases = [json.loads(line) for line in out.splitlines() if line.startswith("[")]
    for what, good, detail in cases:
        rig.check(f"{name}: {what}", good, detail)
    rig.check(f"{name}: ended well after many cases", code == 0 and len(cases) > 10, f"{code} {err[-500:]}")


def locks(rig, agent, binary, name):
    """No two children under one lock at a time, and no more than three under a semaphore of three."""
    before = {session["ID"] for session in agent.get("/v1/session/list")[1]}
    for limit in (1, 3):
        log = rig.dir / f"lock-{name}-{limit}"
        script = f"echo in >> {log}; sleep 0.3; echo out >> {log}"
        argv = [binary, "lock", f"-n={limit}", f"lock/{name}/{limit}", script]
        children = [subprocess.Popen([str(a) for a in argv], env={**agent.env, "PATH": "/usr/bin:/bin"},
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(6)]
        told = [child.communicate(timeout=90)[0] for child in children]
        rig.equal(f"{name} -n={limit}: all end well", [child.returncode for child in children], [0] * 6)
        inside = most = 0
        for word in log.read_text().split():
            inside += 1 if word == "in" else -1
            most = max(most, inside)
        rig.check(f"{name} -n={limit}: at most {limit} at a time, all of them once",
                  most <= limit and log.read_text().count("in") == 6 and inside == 0, f"{most} {told}")
        rig.check(f"{name} -n={limit}: as many as may", most == limit, most)
    # A real Consul's command line ends its session while it exits, and now and then exits first.
    left = [session for session in agent.get("/v1/session/list")[1] if session["ID"] not in before]
    allowed = 0 if name == "our-lock" else 2
    rig.check(f"{name}: leaves no session", len(left) <= allowed, left)


def headers(rig, agent):
    """What no library looks at."""
    agent.put("/v1/kv/raw", b"<script>")
    status, body, given = agent.get("/v1/kv/raw?raw")
    given = {key.lower(): value for key, value in given.items()}
    rig.equal("raw is plain text that nothing runs", [status, body, given.get("content-type"),
              given.get("x-content-type-options"), given.get("content-security-policy")],
              [200, "<script>", "text/plain", "nosniff", "sandbox"])
    for path, words in [("kv/a?flags=x", 'strconv.ParseUint: parsing "x": invalid syntax'),
                        ("kv/a?cas=1&acquire=y", "Conflicting flags: acquire=y&cas=1"), ("kv/", "Missing key name"),
                        ("session/renew/x", "failed session lookup: index error: UUID must be 36 characters")]:
        rig.equal(f"{path}: Consul's words", agent.put(f"/v1/{path}", b"v")[1], words)
    many = [{"KV": {"Verb": "check-not-exists", "Key": "none"}}] * 129
    rig.equal("129 operations", agent.put("/v1/txn", many)[1], "Transaction contains too many operations (129 > 128)")
    rig.equal("a path with two slashes is sent to the clean one", redirect(agent, "/v1/kv/a%2F%2Fb"), "/v1/kv/a/b")


def redirect(agent, path):
    connection = http.client.HTTPConnection("127.0.0.1", agent.http)
    connection.request("PUT", path, body="x")
    return connection.getresponse().getheader("location")


def time_to_live(rig, agent):
    """A session of ten seconds dies between ten and twenty-five."""
    session = agent.put("/v1/session/create", {"TTL": "10s", "LockDelay": "0s"})[1]["ID"]
    born = time.monotonic()
    agent.put(f"/v1/kv/mortal?acquire={session}", b"x")
    wait_for("the session to die", lambda: agent.get(f"/v1/session/info/{session}")[1] == [], 40)
    rig.check("a session lives at least its time, and at most about twice", 10 <= time.monotonic() - born <= 26)
    rig.check("its lock is free", "Session" not in agent.get("/v1/kv/mortal")[1][0])


def main():
    with Rig() as rig:
        agent = rig.agent()
        python = TOOLS / "venv/bin/python"
        script = [HERE / "python_client.py", agent.http]
        library(rig, "py-consul", [python, *script])
        library(rig, "python-consul", [python, *script], env={"PYTHONPATH": str(TOOLS / "python-consul")})
        library(rig, "npm consul", ["node", HERE / "node_client.js", TOOLS / "npm", agent.http])
        headers(rig, agent)
        locks(rig, agent, REAL_CONSUL, "consul-lock")
        locks(rig, agent, rig.consul, "our-lock")
        time_to_live(rig, agent)


main()
