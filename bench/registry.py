"""The registry beside a real Consul: two servers with a data directory each on the same disk, measured in turn, in one run.

    python3 bench/registry.py [--only REGEX] [--rounds N] [--seconds S]

What counts is work per second of the server's own CPU time (/proc/<pid>/stat): wall-clock figures of a shared machine move.
MESHGLASS_BIN is a release build, MESHGLASS_TOOLS has Consul 1.8.7 (`cargo xtask tools`); `wrk` is Debian's.
"""
import argparse
import json
import os
import pathlib
import re
import resource
import select
import socket
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "conformance"))
os.environ.setdefault("MESHGLASS_BIN", str(pathlib.Path(__file__).resolve().parent.parent / "target/release/meshglass"))
from rig import REAL_CONSUL, Agent, Rig, free_ports, wait_for

TICKS = os.sysconf("SC_CLK_TCK")
INSTANCES = 100
SERVICES, PER_SERVICE = 10_000, 5
LUA = """
local threads = 0
function setup(thread) thread:set("id", threads) threads = threads + 1 end
local n = 0
"""
PUT = LUA + """
function request()
  n = n + 1
  return wrk.format("PUT", "/v1/kv/bench/" .. id .. "/" .. (n %% 1000), nil, "%s" .. id .. "-" .. n)
end
""" % ("v" * 100)


class Server:
    """One server, real or ours, with its directory under the rig's."""

    def __init__(self, rig, name, binary):
        self.rig, self.name = rig, name
        http, server, serf = free_ports(3)
        hcl = ('disable_update_check = true limits { http_max_conns_per_client = 10000 } '
               'performance { raft_multiplier = 10 }')
        argv = [binary, "agent", "-server", "-bootstrap-expect=1", f"-data-dir={rig.dir}/{name}", "-bind=127.0.0.1",
                f"-node={name}", f"-http-port={http}", "-dns-port=-1", f"-server-port={server}", f"-serf-lan-port={serf}",
                "-serf-wan-port=-1", "-log-level=err", "-disable-host-node-id", "-hcl", hcl]
        self.agent = Agent(rig, http, rig.start(name, argv))
        self.address = ("127.0.0.1", http)
        wait_for(f"{name} to lead", lambda: self.agent.get("/v1/status/leader")[1], 30)
        wait_for(f"{name} to take writes", lambda: self.agent.put("/v1/kv/warm", b"up")[1] is True, 30)
        wait_for(f"{name} to know itself", lambda: self.agent.get("/v1/catalog/service/consul")[1], 30)

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.agent.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss(self):
        status = pathlib.Path(f"/proc/{self.agent.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024


class Exchange:
    """A keep-alive connection that is told what to ask next; reads whole answers."""

    def __init__(self, address):
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def send(self, request):
        self.socket.sendall(request)

    def receive(self):
        """The head of an answer once all of it is here."""
        got = self.socket.recv(1 << 18)
        if not got:
            raise ConnectionError(f"the server closed a connection after {self.buffer[:200]!r}")
        self.buffer += got
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self.buffer[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15:].split(b"\r", 1)[0]) if at >= 0 else 0
        if len(self.buffer) < end + 4 + length:
            return None
        self.buffer = self.buffer[end + 4 + length:]
        return head


def http_request(method, path, body=b""):
    return f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def drive(address, requests, connections=16):
    """Sends all requests, `connections` at a time."""
    poll, open_, requests = select.epoll(), {}, iter(requests)
    for request in requests:
        exchange = Exchange(address)
        open_[exchange.socket.fileno()] = exchange
        poll.register(exchange.socket, select.EPOLLIN)
        exchange.send(request)
        if len(open_) == connections:
            break
    while open_:
        for number, _ in poll.poll():
            head = open_[number].receive()
            if head is None:
                continue
            if b" 200" not in head[:20]:
                raise ValueError(f"refused: {head!r}")
            following = next(requests, None)
            if following is None:
                poll.unregister(number)
                open_.pop(number).socket.close()
            else:
                open_[number].send(following)


def wrk(server, path, clients, seconds, lua=None):
    """Requests a second of the server's CPU, latency percentiles (ms), requests a second."""
    argv = ["wrk", f"-t{min(2, clients)}", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "--latency"]
    if lua:
        script = server.rig.dir / "bench.lua"
        script.write_text(lua)
        argv += ["-s", str(script)]
    before = server.cpu()
    done = subprocess.run([*argv, f"{server.agent.url}{path}"], capture_output=True, text=True, check=True).stdout
    used = server.cpu() - before
    if "Non-2xx" in done or "Socket errors" in done:
        raise ValueError(done)
    total = int(re.search(r"(\d+) requests in", done).group(1))
    times = {at: milliseconds(re.search(rf"^\s+{at}%\s+(\S+)", done, re.M).group(1)) for at in (50, 99)}
    rate = float(re.search(r"Requests/sec:\s+(\S+)", done).group(1))
    return {"per CPU second": total / used, "p50 ms": times[50], "p99 ms": times[99], "per second": rate}


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def put(server, args):
    return wrk(server, "/", 64, args.seconds, PUT)


def put_alone(server, args):
    return wrk(server, "/", 1, args.seconds, PUT)


def get(server, args):
    server.agent.put("/v1/kv/bench/get", b"v" * 100)
    return wrk(server, "/v1/kv/bench/get", 64, args.seconds)


def registration(service, number):
    return {"Node": f"node-{number % 50}", "Address": f"10.0.0.{number % 50}",
            "Service": {"ID": f"{service}-{number}", "Service": service, "Port": 8000 + number % 1000, "Tags": ["v1", "primary"],
                        "Meta": {"version": "1.2.3"}},
            "Check": {"CheckID": f"{service}-{number}", "Name": "alive", "ServiceID": f"{service}-{number}", "Status": "passing",
                      "Output": "HTTP GET http://10.0.0.1:8000/health: 200 OK Output: ok"}}


def register(server, service, count):
    bodies = (json.dumps(registration(service, number)).encode() for number in range(count))
    drive(server.address, (http_request("PUT", "/v1/catalog/register", body) for body in bodies))


def health(server, args):
    if not server.agent.get("/v1/catalog/service/web")[1]:
        register(server, "web", INSTANCES)
    return wrk(server, "/v1/health/service/web?passing", 64, args.seconds)


def watchers(count):
    def run(server, args):
        server.agent.put("/v1/kv/bench/watched", b"0")
        index = server.agent.get("/v1/kv/bench/watched")[2]["X-Consul-Index"]
        poll, watching = select.epoll(), {}
        for _ in range(count):
            exchange = Exchange(server.address)
            watching[exchange.socket.fileno()] = exchange
            poll.register(exchange.socket, select.EPOLLIN)

        def ask(exchange, index):
            exchange.send(http_request("GET", f"/v1/kv/bench/watched?index={index}&wait=300s"))

        for exchange in watching.values():
            ask(exchange, index)
        settle(server)
        times, before = [], server.cpu()
        for round_ in range(args.rounds):
            start = time.monotonic()
            server.agent.put("/v1/kv/bench/watched", str(round_ + 1).encode())
            woken = {}
            while len(woken) < count:
                for number, _ in poll.poll():
                    head = watching[number].receive()
                    if head is not None:
                        times.append((time.monotonic() - start) * 1000)
                        woken[number] = re.search(rb"x-consul-index: (\d+)", head).group(1).decode()
            for number, index in woken.items():
                ask(watching[number], index)
            settle(server)
        used = (server.cpu() - before) / args.rounds
        for exchange in watching.values():
            exchange.socket.close()
        settle(server)
        times.sort()
        return {"p50 ms": times[len(times) // 2], "p99 ms": times[int(len(times) * 0.99)], "CPU seconds a wake-up": used}

    return run


def settle(server):
    """Until the server has nothing to do: its CPU time stands still for a moment."""
    still, last = 0, server.cpu()
    while still < 5:
        time.sleep(0.05)
        now = server.cpu()
        still = still + 1 if now == last else 0
        last = now


def memory_after_load(server, _):
    return {"MiB": server.rss()}


def memory_of_catalog(server, _):
    bodies = (json.dumps(registration(f"service-{n // PER_SERVICE}", n)).encode() for n in range(SERVICES * PER_SERVICE))
    start, before = time.monotonic(), server.cpu()
    drive(server.address, (http_request("PUT", "/v1/catalog/register", body) for body in bodies))
    used = server.cpu() - before
    settle(server)
    count = len(server.agent.get("/v1/catalog/services")[1])
    assert count >= SERVICES, count
    return {"MiB": server.rss(), "registrations per CPU second": SERVICES * PER_SERVICE / used,
            "wall s": time.monotonic() - start}


# Name, measurement, rounds (None: as asked), and what is compared: (figure, aim, better is "more" or "less").
CASES = [
    ("put, 64 clients", put, None, ("per CPU second", 4, "more")),
    ("put, 1 client", put_alone, None, ("p50 ms", 1, "less")),
    ("get, 64 clients", get, None, ("per CPU second", 2.5, "more")),
    (f"health of {INSTANCES} instances, 64 clients", health, None, ("per CPU second", 15, "more")),
    ("memory after that load", memory_after_load, 1, ("MiB", 3, "less")),
    ("1,000 watchers", watchers(1000), 1, ("p99 ms", 2, "less")),
    ("4,000 watchers", watchers(4000), 1, ("p99 ms", 2, "less")),
    (f"{SERVICES:,} services of {PER_SERVICE} instances", memory_of_catalog, 1, ("MiB", 2, "less")),
]


def main(rig, args):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    servers = [Server(rig, "consul", REAL_CONSUL), Server(rig, "meshglass", rig.consul)]
    for name, measure, rounds, (figure, aim, better) in CASES:
        if args.only and not re.search(args.only, name):
            continue
        results = {server.name: [] for server in servers}
        for _ in range(rounds or args.rounds):
            for server in servers:
                results[server.name].append(measure(server, args))
        medians = {of: {key: statistics.median(row[key] for row in rows) for key in rows[0]} for of, rows in results.items()}
        for of, row in medians.items():
            print(f"      {name}: {of}: " + ", ".join(f"{key} {value:,.3g}" if value < 100 else f"{key} {value:,.0f}"
                                                      for key, value in row.items()), flush=True)
        theirs, ours = (medians[server.name][figure] for server in servers)
        times = ours / theirs if better == "more" else theirs / ours
        rig.check(f"{name}: {figure} {times:.2f} times as good as Consul's (aim {aim})", times >= aim)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=6)
    arguments = parser.parse_args()
    with Rig() as rig:
        main(rig, arguments)
