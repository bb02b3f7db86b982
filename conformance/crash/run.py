"""A server under load is killed (SIGKILL) at random moments and started again, round after round: every write that was
answered must be there, no batch may be there in half, and no index may go back. Snapshots are taken all the time.

ROUNDS (default 20) says how often; SEED repeats a run.
"""
import base64
import http.client
import json
import os
import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from rig import Agent, Rig, free_ports, wait_for

ROUNDS = int(os.environ.get("ROUNDS", "20"))
SEED = os.environ.get("SEED") or str(random.randrange(1 << 32))
KEY_WRITERS, PAIR_WRITERS, TXN_WRITERS = 6, 2, 2
# The server is killed this long after its writers began, at some moment between these (seconds).
LIFE = (0.02, 0.6)


class Writer(threading.Thread):
    """Writes numbers that only grow until the server is gone. `sent` may or may not be there, `answered` must be."""

    def __init__(self, port, name, state):
        super().__init__(daemon=True)
        self.port, self.name_, self.state = port, name, state

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            while True:
                number = self.state["sent"] + 1
                self.state["sent"] = number
                method, path, body = self.request(number)
                connection.request(method, path, body=body)
                answer = connection.getresponse()
                raw = answer.read()
                if answer.status != 200 or raw.strip() == b"false":
                    self.state["refused"] = f"{path}: {answer.status} {raw[:200]}"
                    return
                self.state["answered"] = number
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()


class KeyWriter(Writer):
    """One key for each of the last hundred numbers, so that the table has some size."""

    def request(self, number):
        return "PUT", f"/v1/kv/{self.name_}/{number % 100:02}", str(number)


class PairWriter(Writer):
    """A service and its check in one registration."""

    def request(self, number):
        body = {"Node": self.name_, "Address": "192.0.2.1",
                "Service": {"ID": "s", "Service": "s", "Meta": {"n": str(number)}},
                "Check": {"CheckID": "c", "Name": "c", "ServiceID": "s", "Status": "passing", "Output": str(number)}}
        return "PUT", "/v1/catalog/register", json.dumps(body)


class TxnWriter(Writer):
    """Two keys in one transaction."""

    def request(self, number):
        value = base64.b64encode(str(number).encode()).decode()
        keys = [f"{self.name_}/a", f"{self.name_}/b"]
        return "PUT", "/v1/txn", json.dumps([{"KV": {"Verb": "set", "Key": key, "Value": value}} for key in keys])


def start(rig, argv, agent_port, number):
    process = rig.start(f"server-{number}", argv)
    agent = Agent(rig, agent_port, process)
    # A leader, and a catalog: the agent's own registration is written by then.
    wait_for(f"server {number} to answer", lambda: agent.get("/v1/status/leader")[1] and agent.get("/v1/catalog/nodes")[1], 30)
    return agent


def kv(agent, prefix):
    status, entries, headers = agent.get(f"/v1/kv/{prefix}/?recurse")
    if status != 200:
        return {}, headers
    return {entry["Key"]: int(base64.b64decode(entry["Value"] or b"")) for entry in entries}, headers


def verify(agent, states, seen):
    """What is wrong: a list of sentences."""
    wrong = []

    def settled(name, state, found):
        # Any number between what was answered and what was sent last is right, and the writer goes on from it.
        if not state["answered"] <= found <= state["sent"]:
            wrong.append(f"{name}: found {found}, answered {state['answered']}, sent {state['sent']}")
        state["answered"] = state["sent"] = found

    for name, state in states["key"].items():
        entries, _ = kv(agent, name)
        newest = max(entries.values(), default=0)
        # Each slot holds the last number answered for it.
        for number in range(max(1, state["answered"] - 99), state["answered"] + 1):
            value = entries.get(f"{name}/{number % 100:02}", 0)
            if value < number:
                wrong.append(f"{name}: number {number} was answered, its key holds {value}")
        settled(name, state, newest)
    for name, state in states["pair"].items():
        _, node, _ = agent.get(f"/v1/catalog/node/{name}")
        _, checks, _ = agent.get(f"/v1/health/node/{name}")
        numbers = {int(service["Meta"]["n"]) for service in ((node or {}).get("Services") or {}).values()}
        numbers |= {int(check["Output"]) for check in checks or []}
        if len(numbers) > 1 or len(checks or []) != len((node or {}).get("Services") or {}):
            wrong.append(f"{name}: half a registration: {numbers}")
        settled(name, state, max(numbers, default=0))
    for name, state in states["txn"].items():
        entries, _ = kv(agent, name)
        if len(set(entries.values())) > 1 or len(entries) == 1:
            wrong.append(f"{name}: half a transaction: {entries}")
        settled(name, state, max(entries.values(), default=0))
    for path in ("/v1/catalog/nodes", "/v1/catalog/services", "/v1/kv/?recurse", "/v1/health/service/s", "/v1/catalog/node/pair-0"):
        index = int(agent.get(path)[2].get("X-Consul-Index", 0))
        if index < seen.get(path, 0):
            wrong.append(f"{path}: the index went back from {seen[path]} to {index}")
        seen[path] = index
    return wrong


def main(rig):
    print(f"seed {SEED}", flush=True)
    chance = random.Random(SEED)
    http_port, grpc, dns, server, serf = free_ports(5)
    argv = [rig.consul, "agent", "-server", "-bootstrap-expect=1", f"-data-dir={rig.dir}/data", "-bind=127.0.0.1",
            f"-http-port={http_port}", f"-grpc-port={grpc}", f"-dns-port={dns}", f"-server-port={server}",
            f"-serf-lan-port={serf}", "-serf-wan-port=-1", "-log-level=warn",
            "-hcl", "raft_snapshot_threshold = 40"]
    classes = {"key": (KeyWriter, KEY_WRITERS), "pair": (PairWriter, PAIR_WRITERS), "txn": (TxnWriter, TXN_WRITERS)}
    states = {kind: {f"{kind}-{n}": {"answered": 0, "sent": 0, "refused": ""} for n in range(count)}
              for kind, (_, count) in classes.items()}
    agent = start(rig, argv, http_port, 0)
    if agent.put("/v1/txn", [])[0] == 404:
        states["txn"] = {}
    seen, writes = {}, 0
    for number in range(1, ROUNDS + 1):
        writers = [classes[kind][0](http_port, name, state) for kind, of in states.items() for name, state in of.items()]
        before = sum(state["answered"] for of in states.values() for state in of.values())
        for writer in writers:
            writer.start()
        time.sleep(chance.uniform(*LIFE))
        agent.process.kill()
        agent.process.wait()
        for writer in writers:
            writer.join(20)
        written = sum(state["answered"] for of in states.values() for state in of.values()) - before
        writes += written
        refused = [state["refused"] for of in states.values() for state in of.values() if state["refused"]]
        agent = start(rig, argv, http_port, number)
        wrong = refused + verify(agent, states, seen)
        if not rig.check(f"round {number}: {written} answered writes are there, whole", not wrong, "\n      ".join(["", *wrong])):
            return
    rig.check(f"{writes} writes were answered in {ROUNDS} rounds", writes > 10 * ROUNDS)


with Rig() as rig:
    main(rig)
