"""Two servers on one etcd: what is written through one is read, waited for and guarded through the other; either may die.

etcd is Debian's `etcd-server`.
"""
import base64
import pathlib
import shutil
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from rig import Agent, Rig, fetch, free_ports, wait_for


def etcd(rig, number, client, peer):
    argv = ["etcd", "--name", "one", "--data-dir", rig.dir / "etcd", "--listen-client-urls", client,
            "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            f"--initial-cluster=one={peer}"]
    process = rig.start(f"etcd-{number}", argv)
    wait_for("etcd to be healthy", lambda: fetch(f"{client}/health", timeout=2)[0] == 200, 30)
    return process


def server(rig, name, client):
    http, port, serf = free_ports(3)
    argv = [rig.consul, "agent", "-server", "-bootstrap-expect=1", f"-data-dir={rig.dir}/{name}", f"-node={name}",
            "-bind=127.0.0.1", f"-http-port={http}", "-grpc-port=-1", "-dns-port=-1", f"-server-port={port}",
            f"-serf-lan-port={serf}", "-serf-wan-port=-1", "-log-level=warn", f"-etcd=http://127.0.0.1:9,{client}"]
    agent = Agent(rig, http, rig.start(name, argv))
    wait_for(f"{name} to answer", lambda: agent.get("/v1/status/leader")[1] and agent.get("/v1/catalog/nodes")[1], 40)
    return agent


def value(agent, key):
    status, entries, _ = agent.get(f"/v1/kv/{key}")
    return base64.b64decode(entries[0]["Value"]).decode() if status == 200 else None


def sharing(rig, one, two):
    def nodes(agent):
        return {node["Node"] for node in agent.get("/v1/catalog/nodes")[1]}

    wait_for("both to see both", lambda: nodes(one) == nodes(two) == {"one", "two"})
    rig.check("each server sees the other's node", True)
    roots = [agent.get("/v1/connect/ca/roots")[1]["ActiveRootID"] for agent in (one, two)]
    rig.equal("one certificate authority", roots[0], roots[1])
    one.put("/v1/kv/a", b"1")
    wait_for("the other to have it", lambda: value(two, "a") == "1", 5)
    index = two.get("/v1/kv/a")[2]["X-Consul-Index"]
    woken = {}

    def wait():
        start = time.monotonic()
        woken["body"] = two.get(f"/v1/kv/a?index={index}&wait=20s")[1]
        woken["after"] = time.monotonic() - start

    waiting = threading.Thread(target=wait)
    waiting.start()
    one.put("/v1/kv/a", b"2")
    waiting.join(25)
    rig.check("a watch on one is woken by a write on the other",
              base64.b64decode(woken["body"][0]["Value"]) == b"2" and woken["after"] < 10, woken)
    modified = one.get("/v1/kv/a")[1][0]["ModifyIndex"]
    won, lock = [], threading.Lock()

    def race(agent, number):
        if agent.put(f"/v1/kv/a?cas={modified}", f"racer {number}".encode())[1] is True:
            with lock:
                won.append(number)

    racers = [threading.Thread(target=race, args=((one, two)[number % 2], number)) for number in range(16)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(30)
    rig.check("one of sixteen wins a compare-and-set, whichever server it asks", len(won) == 1, won)


def counting(rig, agents):
    """A counter that is moved by compare-and-set through both servers at once loses no step."""
    agents[0].put("/v1/kv/counter", b"0")
    wait_for("the counter everywhere", lambda: all(value(agent, "counter") == "0" for agent in agents), 5)

    def step(agent):
        done = 0
        while done < 20:
            entry = agent.get("/v1/kv/counter")[1][0]
            new = str(int(base64.b64decode(entry["Value"])) + 1).encode()
            done += agent.put(f"/v1/kv/counter?cas={entry['ModifyIndex']}", new)[1] is True

    steppers = [threading.Thread(target=step, args=(agents[number % 2],), daemon=True) for number in range(4)]
    for stepper in steppers:
        stepper.start()
    for stepper in steppers:
        stepper.join(60)
    wait_for("the last step everywhere", lambda: value(agents[0], "counter") == value(agents[1], "counter"), 5)
    rig.equal("80 steps of a counter by two servers", value(agents[0], "counter"), "80")


def large(rig, one, two):
    """A node with far more services than a transaction of etcd can name goes at once for whoever waits for the answer."""
    for number in range(300):
        body = {"Node": "large", "Address": "192.0.2.1", "Service": {"ID": f"s{number}", "Service": "s"},
                "Check": {"CheckID": f"c{number}", "Name": "c", "ServiceID": f"s{number}", "Status": "passing"}}
        assert one.put("/v1/catalog/register", body)[1] is True
    rig.equal("300 instances", len(one.get("/v1/health/service/s?passing")[1]), 300)
    rig.equal("a large node is removed", one.put("/v1/catalog/deregister", {"Node": "large"})[1], True)
    rig.equal("nothing of it is left", (one.get("/v1/catalog/service/s")[1], one.get("/v1/health/node/large")[1]), ([], []))
    wait_for("nothing of it on the other", lambda: two.get("/v1/catalog/service/s")[1] == [], 5)


def sessions(rig, one, two):
    """A session outlives the server that made it while another renews it, and ends when nobody does."""
    status, made, _ = one.put("/v1/session/create", {"TTL": "10s", "LockDelay": "0s", "NodeChecks": [], "Checks": []})
    if not rig.check("a session with a time to live", status == 200, (status, made)):
        return
    session = made["ID"]
    wait_for("the session everywhere", lambda: two.get(f"/v1/session/info/{session}")[1], 5)
    rig.equal("a lock through the other server", two.put(f"/v1/kv/lock?acquire={session}", b"mine")[1], True)
    rig.equal("renewed through the other server", two.put(f"/v1/session/renew/{session}")[0], 200)
    one.process.kill()
    one.process.wait()
    rig.check("the session outlives its server", bool(two.get(f"/v1/session/info/{session}")[1]))
    start = time.monotonic()
    wait_for("the session to end", lambda: two.get(f"/v1/session/info/{session}")[1] == [], 60)
    took = time.monotonic() - start
    rig.check("nobody renews it: it ends after its time, not before", 8 < took, took)
    wait_for("its lock to be free", lambda: "Session" not in two.get("/v1/kv/lock")[1][0], 10)
    rig.check("and its lock is free", True)


def dying(rig, client, peer, process, two):
    rig.equal("one server serves on", two.put("/v1/kv/kept", b"still")[1], True)
    again = server(rig, "one", client)
    rig.equal("the first comes back to what was written meanwhile", value(again, "kept"), "still")
    process.kill()
    process.wait()
    rig.equal("without etcd what is known is read", value(two, "kept"), "still")
    status, text, _ = two.put("/v1/kv/kept", b"lost")
    rig.check("and a write is refused with the reason", status == 500 and "etcd" in str(text), (status, text))
    etcd(rig, 2, client, peer)
    wait_for("writes again", lambda: two.put("/v1/kv/kept", b"back")[1] is True, 20)
    wait_for("the other sees them", lambda: value(again, "kept") == "back", 20)
    rig.check("with etcd back, writes and watches go on", True)


def main(rig):
    if not shutil.which("etcd"):
        rig.check("etcd is installed (apt-get install etcd-server)", False)
        return
    client, peer = (f"http://127.0.0.1:{port}" for port in free_ports(2))
    process = etcd(rig, 1, client, peer)
    one, two = server(rig, "one", client), server(rig, "two", client)
    sharing(rig, one, two)
    counting(rig, (one, two))
    large(rig, one, two)
    sessions(rig, one, two)
    dying(rig, client, peer, process, two)


with Rig() as rig:
    main(rig)
