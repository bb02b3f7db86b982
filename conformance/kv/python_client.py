"""One library's users at work: what python-consul and py-consul have in common. Prints one JSON list a case."""
import base64
import json
import sys
import threading
import time

import consul

DEADLINE = 20


def case(name, good, detail=""):
    print(json.dumps([name, bool(good), repr(detail) if not good else ""]), flush=True)


def equal(name, got, wanted):
    case(name, got == wanted, (got, wanted))


def refused(name, kind, action):
    try:
        case(name, False, action())
    except kind as error:
        case(name, True, error)


def until(holds):
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        time.sleep(0.02)
    return None


def keys(c):
    equal("put answers true", c.kv.put("app/a", "hello"), True)
    index, entry = c.kv.get("app/a")
    equal("get gives the bytes", entry["Value"], b"hello")
    equal("the index is the key's", int(index), entry["ModifyIndex"])
    c.kv.put("app/bytes", bytes(range(256)))
    equal("any bytes", c.kv.get("app/bytes")[1]["Value"], bytes(range(256)))
    c.kv.put("app/é x/ü", "umlauts")
    equal("any name", c.kv.get("app/é x/ü")[1]["Key"], "app/é x/ü")
    c.kv.put("app/empty", "")
    equal("empty value", c.kv.get("app/empty")[1]["Value"], None)
    c.kv.put("app/flags", "x", flags=7)
    equal("flags", c.kv.get("app/flags")[1]["Flags"], 7)
    equal("missing key", c.kv.get("nothing")[1], None)
    equal("missing prefix", c.kv.get("nothing", recurse=True)[1], None)
    equal("cas 0 creates", [c.kv.put("app/cas", "1", cas=0), c.kv.put("app/cas", "2", cas=0)], [True, False])
    at = c.kv.get("app/cas")[1]["ModifyIndex"]
    equal("cas", [c.kv.put("app/cas", "3", cas=at), c.kv.put("app/cas", "4", cas=at)], [True, False])
    before = c.kv.get("app/a")[1]["ModifyIndex"]
    c.kv.put("app/a", "hello")
    equal("an equal write moves nothing", c.kv.get("app/a")[1]["ModifyIndex"], before)
    found = [entry["Key"] for entry in c.kv.get("app/", recurse=True)[1]]
    equal("recurse is sorted", found, sorted(found))
    c.kv.put("app/sub/one", "1")
    c.kv.put("app/sub/two", "2")
    listed = c.kv.get("app/", keys=True, separator="/")[1]
    case("keys up to the separator", "app/sub/" in listed and "app/sub/one" not in listed, listed)
    equal("delete with cas of the past", c.kv.delete("app/cas", cas=1), False)
    equal("delete", [c.kv.delete("app/cas"), c.kv.get("app/cas")[1]], [True, None])
    c.kv.delete("app/sub/", recurse=True)
    equal("delete recurse", c.kv.get("app/sub/", keys=True)[1], None)
    refused("a value of more than 512 KiB", consul.ConsulException, lambda: c.kv.put("big", "x" * (512 * 1024 + 1)))
    equal("a value of 512 KiB", c.kv.put("big", "x" * (512 * 1024)), True)
    c.kv.delete("big")


def waiting(c, make):
    index, _ = c.kv.get("wait/key")
    seen = []

    def wait(topic, at, **more):
        # A key that is not there has the index of all: other writes may answer first.
        while True:
            at, found = make().kv.get(topic, index=at, wait="20s", **more)
            if found:
                return seen.append((topic, found))

    threads = [threading.Thread(target=wait, args=("wait/key", index))]
    prefix, _ = c.kv.get("wait/", recurse=True)
    threads.append(threading.Thread(target=wait, args=("wait/", prefix), kwargs={"recurse": True}))
    [thread.start() for thread in threads]
    started = time.monotonic()
    c.kv.put("other", "x")
    c.kv.put("wait/key", "now")
    [thread.join(DEADLINE) for thread in threads]
    equal("key and prefix wake", sorted(topic for topic, _ in seen), ["wait/", "wait/key"])
    case("at once", time.monotonic() - started < 5)
    case("with the value", len(seen) == 2 and all(found for _, found in seen), seen)


def sessions(c):
    sid = c.session.create(name="lock", ttl=60, lock_delay=0, behavior="release")
    _, info = c.session.info(sid)
    equal("session info", [info["Name"], info["TTL"], info["Behavior"], info["LockDelay"]], ["lock", "60s", "release", 0])
    case("listed", sid in [found["ID"] for found in c.session.list()[1]])
    case("listed by node", sid in [found["ID"] for found in c.session.node(info["Node"])[1]])
    equal("renew", c.session.renew(sid)["ID"], sid)
    other = c.session.create(behavior="delete", lock_delay=0)
    equal("acquire", [c.kv.put("lock", "me", acquire=sid), c.kv.put("lock", "you", acquire=other)], [True, False])
    entry = c.kv.get("lock")[1]
    equal("the holder is shown", [entry["Session"], entry["LockIndex"], entry["Value"]], [sid, 1, b"me"])
    equal("release", [c.kv.put("lock", "x", release=other), c.kv.put("lock", "x", release=sid)], [False, True])
    equal("acquire after release", c.kv.put("lock", "you", acquire=other), True)
    equal("LockIndex grows", c.kv.get("lock")[1]["LockIndex"], 2)
    equal("destroy", c.session.destroy(other), True)
    equal("behaviour delete", c.kv.get("lock")[1], None)
    c.kv.put("lock", "me", acquire=sid)
    c.session.destroy(sid)
    entry = c.kv.get("lock")[1]
    equal("behaviour release", ["Session" in entry, entry["Value"]], [False, b"me"])
    refused("renew what is gone", consul.NotFound, lambda: c.session.renew(sid))
    slow = c.session.create(lock_delay=15)
    c.kv.put("delayed", "x", acquire=slow)
    c.session.destroy(slow)
    after = c.session.create(lock_delay=0)
    equal("lock-delay", c.kv.put("delayed", "y", acquire=after), False)
    c.session.destroy(after)


def session_of_a_check(c):
    c.agent.check.register("heart", consul.Check.ttl("60s"), check_id="heart")
    c.agent.check.ttl_pass("heart")
    name = c.agent.self()["Config"]["NodeName"]
    passing = lambda: [x for x in c.health.node(name)[1] if x["CheckID"] == "heart" and x["Status"] == "passing"]
    case("the check passes", until(passing))
    sid = c.session.create(checks=["serfHealth", "heart"], lock_delay=0)
    c.kv.put("of-a-check", "x", acquire=sid)
    c.agent.check.ttl_fail("heart")
    case("a failing check ends the session", until(lambda: c.session.info(sid)[1] is None))
    equal("and its lock", "Session" in c.kv.get("of-a-check")[1], False)
    c.agent.check.deregister("heart")


def transactions(c):
    value = base64.b64encode(b"1").decode()
    set_and_get = [{"KV": {"Verb": "set", "Key": "txn/a", "Value": value}}, {"KV": {"Verb": "get", "Key": "txn/a"}}]
    done = c.txn.put(set_and_get)
    equal("txn", [done["Errors"], done["Results"][1]["KV"]["Key"]], [None, "txn/a"])
    stale = [{"KV": {"Verb": "set", "Key": "txn/b", "Value": value}}, {"KV": {"Verb": "cas", "Key": "txn/a", "Value": value, "Index": 1}}]
    try:
        failed = c.txn.put(stale)
    except consul.ConsulException as error:
        failed = str(error)
    case("a stale cas fails the whole", "stale" in str(failed) or "409" in str(failed), failed)
    equal("nothing of it is written", c.kv.get("txn/b")[1], None)


def events(c):
    name = "deploy-%d" % time.monotonic_ns()
    event = c.event.fire(name, "payload")
    case("fired", event and c.event.list(name)[1])
    last = c.event.list(name)[1][-1]
    case("listed with its payload", last["Payload"] in (b"payload", base64.b64encode(b"payload").decode()), last)


def registry(c):
    c.catalog.register("ext", "192.0.2.9", service={"Service": "db", "ID": "db1", "Port": 5432, "Tags": ["primary"]},
                       check={"CheckID": "alive", "Name": "alive", "Status": "passing", "ServiceID": "db1"})
    equal("catalog service", [s["ServicePort"] for s in c.catalog.service("db")[1]], [5432])
    equal("catalog tag", len(c.catalog.service("db", tag="nope")[1]), 0)
    case("catalog nodes", "ext" in [n["Node"] for n in c.catalog.nodes()[1]])
    equal("catalog services", c.catalog.services()[1].get("db"), ["primary"])
    equal("catalog node", list(c.catalog.node("ext")[1]["Services"]), ["db1"])
    equal("datacenters", c.catalog.datacenters(), ["dc1"])
    equal("health service", [s["Service"]["ID"] for s in c.health.service("db", passing=True)[1]], ["db1"])
    equal("health checks", [x["CheckID"] for x in c.health.checks("db")[1]], ["alive"])
    case("health state", "alive" in [x["CheckID"] for x in c.health.state("passing")[1]])
    c.catalog.deregister("ext")
    equal("deregistered", c.catalog.service("db")[1], [])
    c.agent.service.register("web", service_id="web1", port=80, tags=["v1"], check=consul.Check.ttl("60s"))
    equal("agent service", c.agent.services()["web1"]["Port"], 80)
    c.agent.check.ttl_pass("service:web1")
    case("passing in the catalog", until(lambda: c.health.service("web", passing=True)[1]))
    c.agent.maintenance("true", "pause")
    case("maintenance", "_node_maintenance" in c.agent.checks())
    c.agent.maintenance("false")
    c.agent.service.deregister("web1")
    equal("agent service gone", "web1" in c.agent.services(), False)
    case("members", len(c.agent.members()) == 1)
    case("leader", ":" in c.status.leader())
    equal("peers", len(c.status.peers()), 1)


def main():
    make = lambda: consul.Consul(port=int(sys.argv[1]))
    c = make()
    for part in (keys, sessions, session_of_a_check, transactions, events, registry):
        try:
            part(c)
        except Exception as error:  # A library that raises is a failed case, not the end of all others.
            case(f"{part.__name__} ran to the end", False, error)
    waiting(c, make)
    c.kv.delete("", recurse=True)


main()
