"""The figures the README quotes, measured on this machine: `cargo xtask figures` (add `--build` for the cold build time).

Absolute times on a shared machine move; the medians of several rounds are printed, and the machine is named.
"""
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "conformance"))
os.environ.setdefault("MESHGLASS_BIN", str(pathlib.Path(__file__).resolve().parent.parent / "target/release/meshglass"))
import http.client
import http.server
import threading

from rig import BIN, ROOT, Rig, fetch, free_ports, wait_for


class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return f"{os.cpu_count()} cores ({model.group(1) if model else platform.machine()}), Linux {platform.release()}"


def median(values):
    return sorted(values)[len(values) // 2]


def p99(values):
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def cold_build():
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--package", "meshglass"], check=True, cwd=ROOT,
                       env={**os.environ, "CARGO_TARGET_DIR": folder})
        return time.monotonic() - start


def demo_start(rig, rounds=5):
    """Seconds from starting `demo` to the first answer that came through the mesh (ingress → website)."""
    times = []
    for i in range(rounds):
        (first,) = free_ports(1, span=100)
        start = time.monotonic()
        process = rig.start(f"demo{i}", [BIN, "demo", f"--ports-from={first}"])

        def served():
            address = re.search(r"in the mesh\s+(http://\S+)", rig.log(f"demo{i}"))
            return address and fetch(address.group(1), timeout=1)[0] == 200

        wait_for("the first meshed answer", served, 30, step=0.01)
        times.append(time.monotonic() - start)
        process.send_signal(2)
        process.wait(20)
    return median(times)


def pair(rig, agent, server_port):
    (local,) = free_ports(1)
    agent.put("/v1/config", {"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http"}})
    agent.put("/v1/agent/service/register", {"Name": "db", "Port": server_port, "Connect": {"SidecarService": {}}})
    agent.put("/v1/agent/service/register", {"Name": "web", "Port": 1, "Connect": {"SidecarService": {"Proxy": {
        "Upstreams": [{"DestinationName": "db", "LocalBindPort": local}]}}}})
    sidecars = [rig.start(n, [rig.consul, "connect", "proxy", "-sidecar-for", n], env=agent.env) for n in ("db", "web")]
    wait_for("the first call", lambda: fetch(f"http://127.0.0.1:{local}/")[0] == 200, 30)
    return local, sidecars


def memory(process, seconds=10):
    """The least and the most resident memory in seconds without a call, and the part that is the process's own (the
    rest is the program's file, shared by all)."""
    def now():
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        return [int(re.search(rf"{name}:\s+(\d+)", status).group(1)) / 1024 for name in ("VmRSS", "RssAnon")]

    looks = []
    for _ in range(seconds * 10):
        time.sleep(0.1)
        looks.append(now())
    total, own = looks[-1]
    return (f"{total:.1f} MiB resident, {own:.1f} MiB of it its own, {seconds} s after its last call "
            f"(in these seconds {min(looks)[0]:.1f} to {max(looks)[0]:.1f} MiB)")


def deny_latency(agent, local, rounds=200):
    """Milliseconds from sending the intention to the first refused request, on one kept connection."""
    connection = http.client.HTTPConnection("127.0.0.1", local, timeout=5)

    def status():
        # What is on its way when the intention turns is cut off; the next request, on a new connection, is refused.
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except (http.client.HTTPException, OSError):
            connection.close()
            return 0

    times = []
    for _ in range(rounds):
        _, made, _ = agent.get("/v1/connect/intentions", "POST", {"SourceName": "web", "DestinationName": "db",
                                                                    "Action": "allow"})
        wait_for("the allow", lambda: status() == 200, 5, step=0.001)
        start = time.monotonic()
        agent.put(f"/v1/connect/intentions/{made['ID']}", {"SourceName": "web", "DestinationName": "db", "Action": "deny"})
        while status() != 403:
            pass
        times.append((time.monotonic() - start) * 1000)
        agent.get(f"/v1/connect/intentions/{made['ID']}", "DELETE")
        wait_for("the default", lambda: status() == 200, 5, step=0.001)
    return median(times), p99(times)


def main(rig):
    rows = [("machine", machine())]
    if "--build" in sys.argv:
        rows.append(("cold release build", f"{cold_build():.0f} s"))
    rows.append(("release binary", f"{os.path.getsize(BIN) / (1 << 20):.1f} MiB"))
    rows.append(("`demo` to the first meshed answer (median of 5)", f"{demo_start(rig):.2f} s"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    agent = rig.agent()
    local, sidecars = pair(rig, agent, server.server_address[1])
    rows.append(("sidecar, idle", memory(sidecars[1])))
    middle, high = deny_latency(agent, local)
    rows.append(("intention turned to deny → first refused request, 200 rounds", f"median {middle:.1f} ms, p99 {high:.1f} ms"))
    for name, value in rows:
        print(f"| {name} | {value} |", flush=True)
    rig.check("measured", True)


with Rig() as rig:
    main(rig)
