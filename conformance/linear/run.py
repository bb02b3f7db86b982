"""Keys and locks under concurrency: many clients write, compare-and-set, lock and read over HTTP; afterwards the history
is searched for one order that explains every answer (Wing and Gong's search, with Lowe's memory of what was tried).

The checker itself is held against histories that no order explains, so that it cannot pass by being blind. With
`--mutate` a history is bent after the fact: the run must then fail."""
import argparse
import base64
import http.client
import itertools
import json
import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from rig import Agent, Rig, free_ports, wait_for  # noqa: E402

CLIENTS = 8
ROUNDS = 60
OPERATIONS = 7
SEARCH_LIMIT = 2_000_000


class Op:
    """One call: what was asked, what was answered (None: nobody knows), and when it began and ended."""

    def __init__(self, kind, args, answer, begin, end):
        self.kind, self.args, self.answer, self.begin, self.end = kind, args, answer, begin, end

    def __repr__(self):
        return f"{self.kind}{self.args} -> {self.answer} [{self.begin:.6f} {self.end:.6f}]"


def step(state, op):
    """What a key of ours does: state is None or (value, version, holder); versions are names, given by whoever wrote.
    Gives the next state, or False when the answer cannot be."""
    value, version, holder = state or (None, 0, "")
    kind, args, answer = op.kind, op.args, op.answer
    if kind == "get":
        return state if answer == (value, holder) else False
    if kind == "cas":
        wanted, new = args
        if answer != (wanted == value):
            return False
        return (new, version + 1, holder) if answer else state
    if kind == "put":
        return (args[0], version + 1, holder)
    if kind == "delete":
        return None
    if kind == "lock":
        session, new = args
        if answer != (holder in ("", session)):
            return False
        return (new, version + 1, session) if answer else state
    if kind == "unlock":
        session, new = args
        if answer != (holder == session):
            return False
        return (new, version + 1, "") if answer else state
    raise ValueError(kind)


def explains(history, initial=None):
    """One order of all calls that explains their answers and never turns back in time; None: there is none."""
    ops = sorted(history, key=lambda op: op.begin)
    full = (1 << len(ops)) - 1
    tried = set()
    stack = [(0, initial, ())]
    while stack:
        done, state, order = stack.pop()
        if done == full:
            return order
        if (done, state) in tried:
            continue
        tried.add((done, state))
        if len(tried) > SEARCH_LIMIT:
            raise RuntimeError("the history is too wide to be searched")
        waiting = [at for at in range(len(ops)) if not done >> at & 1]
        # What begins after another waiting call has ended cannot come before it.
        horizon = min(ops[at].end for at in waiting)
        for at in waiting:
            if ops[at].begin > horizon:
                break
            after = step(state, ops[at])
            if after is not False:
                stack.append((done | 1 << at, strip(after), order + (at,)))
    return None


def strip(state):
    """Versions tell states apart that nobody can tell apart: without them the search is smaller."""
    return None if state is None else (state[0], 0, state[2])


class Client:
    """A connection of its own; each answer with the times around it."""

    def __init__(self, port, log):
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.log = log

    def call(self, method, path, body=None):
        self.http.request(method, path, body=body)
        answer = self.http.getresponse()
        return answer.status, answer.read()

    def timed(self, kind, args, method, path, body, read):
        begin = time.perf_counter()
        status, raw = self.call(method, path, body)
        end = time.perf_counter()
        if status not in (200, 404):
            raise RuntimeError(f"{method} {path}: {status} {raw[:200]}")
        self.log.append(Op(kind, args, read(status, raw), begin, end))
        return self.log[-1].answer

    def get(self, key):
        """The value and its holder; what is compared and set goes by the index that came with it."""
        index = {}

        def read(status, raw):
            if status == 404:
                return (None, "")
            entry = json.loads(raw)[0]
            index["of"] = entry["ModifyIndex"]
            return (entry["Value"], entry.get("Session", ""))

        answer = self.timed("get", (), "GET", f"/v1/kv/{key}", None, read)
        return answer, index.get("of", 0)

    def write(self, kind, key, args, query, body):
        self.timed(kind, args, "PUT", f"/v1/kv/{key}?{query}", body, lambda _, raw: json.loads(raw))


def base64_of(text):
    return base64.b64encode(text.encode()).decode()


def work(client, key, session, rng, names):
    for _ in range(OPERATIONS):
        name = f"v{next(names)}"
        shown = base64_of(name)
        match rng.choice(["get", "cas", "cas", "put", "lock", "unlock", "delete"]):
            case "get":
                client.get(key)
            case "cas":
                # No value is ever written twice, so that the value stands for the index.
                (value, _), index = client.get(key)
                client.write("cas", key, (value, shown), f"cas={index}", name)
            case "put":
                client.write("put", key, (shown,), "", name)
            case "lock":
                client.write("lock", key, (session, shown), f"acquire={session}", name)
            case "unlock":
                client.write("unlock", key, (session, shown), f"release={session}", name)
            case "delete":
                client.timed("delete", (), "DELETE", f"/v1/kv/{key}", None, lambda *_: True)


def history(port, key, seed):
    logs, threads, failures = [], [], []
    names = itertools.count()
    sessions = []
    for number in range(CLIENTS):
        log = []
        logs.append(log)
        client = Client(port, log)
        sessions.append(json.loads(client.call("PUT", "/v1/session/create", '{"LockDelay":"0s"}')[1])["ID"])

        def run(client=client, session=sessions[-1], rng=random.Random(seed * 1000 + number)):
            try:
                work(client, key, session, rng, names)
            except (OSError, RuntimeError, ValueError) as error:
                failures.append(repr(error))

        threads.append(threading.Thread(target=run))
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    closing = Client(port, [])
    for session in sessions:
        closing.call("PUT", f"/v1/session/destroy/{session}")
    return [op for log in logs for op in log], failures


def overlapping(ops):
    """How many calls ran beside another one: a history without any proves nothing."""
    ordered = sorted(ops, key=lambda op: op.begin)
    return sum(1 for first, second in zip(ordered, ordered[1:]) if second.begin < first.end)


def bend(ops):
    """A lie that a careless server would tell: a compare-and-set that failed says that it wrote."""
    for op in ops:
        if op.kind in ("cas", "lock") and not op.answer:
            op.answer = True
            return True
    return False


def impossible():
    """Histories that no order explains."""
    def op(kind, args, answer, begin, end):
        return Op(kind, args, answer, begin, end)

    return {
        "a read of what was overwritten before it began": [
            op("put", ("a",), True, 0, 1), op("put", ("b",), True, 2, 3), op("get", (), ("a", ""), 4, 5)],
        "two compare-and-sets of one value that both write": [
            op("put", ("a",), True, 0, 1), op("cas", ("a", "b"), True, 2, 5), op("cas", ("a", "c"), True, 3, 4)],
        "a lock with two holders": [op("lock", ("s", "a"), True, 0, 3), op("lock", ("t", "b"), True, 1, 2)],
        "a write that two readers see in different order": [
            op("put", ("a",), True, 0, 9), op("get", (), ("a", ""), 1, 2), op("get", (), (None, ""), 3, 4)],
        "an unlock by one who holds nothing": [op("lock", ("s", "a"), True, 0, 1), op("unlock", ("t", "b"), True, 2, 3)],
    }


def server(rig, kind):
    """In memory, and on disk."""
    if kind == "memory":
        return rig.agent(kind)
    http_port, dns = free_ports(2)
    argv = [rig.consul, "agent", "-server", "-bootstrap", f"-data-dir={rig.dir / 'data'}", f"-http-port={http_port}",
            f"-dns-port={dns}", "-grpc-port=-1", "-bind=127.0.0.1", "-client=127.0.0.1"]
    agent = Agent(rig, http_port, rig.start(kind, argv))
    wait_for("the server to answer", lambda: agent.get("/v1/status/leader")[1], 15)
    return agent


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mutate", action="store_true", help="bend every history: the run must fail")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    with Rig() as rig:
        for name, ops in impossible().items():
            rig.check(f"the checker sees {name}", explains(ops) is None)
        serial = [Op("put", ("a",), True, 0, 1), Op("cas", ("a", "b"), True, 2, 5), Op("get", (), ("a", ""), 3, 4)]
        rig.check("the checker finds an order where there is one", explains(serial) is not None)
        for kind in ("memory", "disk"):
            agent = server(rig, kind)
            calls = beside = 0
            unexplained = []
            for seed in range(given.rounds):
                ops, failures = history(agent.http, f"linear/{seed}", seed)
                bent = given.mutate and bend(ops)
                calls, beside = calls + len(ops), beside + overlapping(ops)
                if failures or explains(ops) is None:
                    unexplained.append((seed, failures or sorted(ops, key=lambda op: op.begin), bent))
            rig.check(f"{kind}: one order explains each of {given.rounds} histories of {CLIENTS} clients",
                      not unexplained, f"{len(unexplained)} not, the first: {unexplained[:1]}")
            rig.check(f"{kind}: {beside} of {calls} calls ran beside another", beside > calls / 4)


main()
