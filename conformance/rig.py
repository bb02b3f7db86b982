"""What every judge needs: free ports, started programs that are ended by their own pid, waiting with a deadline, counting.

Standard library only. A judge is `conformance/<name>/run.py`; it takes MESHGLASS_BIN (the binary) and MESHGLASS_TOOLS
(the folder of outside parts), prints one line a case and ends with `N passed, N failed`.
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = os.environ.get("MESHGLASS_BIN") or str(ROOT / "target/debug/meshglass")
TOOLS = pathlib.Path(os.environ.get("MESHGLASS_TOOLS") or ROOT / "target/tools")
REAL_CONSUL = TOOLS / "consul/usr/bin/consul"


def free_ports(count, span=1):
    """Ports that were free a moment ago; with span > 1 the first of a free run."""
    found = []
    while len(found) < count:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            first = probe.getsockname()[1]
        if first + span > 32000 and span > 1:
            first = 10000 + first % 20000
        if all(is_free(port) for port in range(first, first + span)) and first not in found:
            found.append(first)
    return found


def is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Rig:
    """Everything one judge starts, in one temporary folder, ended when the judge ends."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="meshglass-judge-"))
        self.started = []
        self.passed = self.failed = 0
        # The binary under Consul's name: what scripts of Consul's users call.
        (self.dir / "bin").mkdir()
        self.consul = self.dir / "bin/consul"
        self.consul.symlink_to(BIN)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for process, log in reversed(self.started):
            end(process)
            log.close()
        if error is not None and not isinstance(error, SystemExit):
            self.check(f"ran to the end ({kind.__name__}: {error})", False)
        if self.failed:
            for path in sorted(self.dir.glob("*.log")):
                print(f"--- last lines of {path.name}")
                print("".join(path.read_text(errors="replace").splitlines(keepends=True)[-25:]))
        shutil.rmtree(self.dir, ignore_errors=True)
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)

    def check(self, name, good, detail=""):
        if good:
            self.passed += 1
            print(f"ok    {name}", flush=True)
        else:
            self.failed += 1
            print(f"FAIL  {name} {detail}", flush=True)
        return good

    def equal(self, name, got, wanted):
        return self.check(name, got == wanted, f"\n      got    {got!r}\n      wanted {wanted!r}")

    def start(self, name, argv, env=None, cwd=None):
        log = open(self.dir / f"{name}.log", "wb")
        process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                   cwd=cwd or self.dir, env={**os.environ, **(env or {})}, start_new_session=True)
        self.started.append((process, log))
        return process

    def log(self, name):
        return (self.dir / f"{name}.log").read_text(errors="replace")

    def run(self, argv, env=None, timeout=30, stdin=None):
        """(exit code, stdout, stderr)"""
        done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=timeout, cwd=self.dir,
                              env={**os.environ, **(env or {})}, input=stdin)
        return done.returncode, done.stdout, done.stderr

    def agent(self, name="agent", extra=()):
        """A dev agent on ports of its own."""
        http, grpc, dns = free_ports(3)
        argv = [self.consul, "agent", "-dev", f"-http-port={http}", f"-grpc-port={grpc}", f"-dns-port={dns}", *extra]
        process = self.start(name, argv)
        agent = Agent(self, http, process, dns)
        wait_for(f"the agent {name} to answer", lambda: agent.get("/v1/status/leader")[1], 15)
        return agent

    def demo(self, *extra, name="demo"):
        """The demo on ports of its own; its HTTP API is on the first of them."""
        (first,) = free_ports(1, span=100)
        process = self.start(name, [BIN, "demo", f"--ports-from={first}", *extra])
        agent = Agent(self, first, process)
        wait_for("the demo to answer", lambda: agent.get("/v1/status/leader")[1], 20)
        return agent


def end(process, seconds=10):
    """Asks the process, and only it, to end; then makes it."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


class Agent:
    def __init__(self, rig, http, process, dns=None):
        self.rig, self.http, self.process, self.dns = rig, http, process, dns
        self.env = {"CONSUL_HTTP_ADDR": f"127.0.0.1:{http}"}
        self.url = f"http://127.0.0.1:{http}"

    def cli(self, *args, binary=None, **more):
        return self.rig.run([binary or self.rig.consul, *args], env=self.env, **more)

    def get(self, path, method="GET", body=None, headers=None):
        """(status, decoded body or text, headers); status 0 when nobody answers."""
        return fetch(self.url + path, method, body, headers)

    def put(self, path, body=None):
        return self.get(path, "PUT", body)


def fetch(url, method="GET", body=None, headers=None, timeout=20):
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    status, raw, headers = fetch_raw(url, method, data, headers, timeout, follow=True)
    return status, decoded(raw), headers


class Unredirected(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def fetch_raw(url, method="GET", data=None, headers=None, timeout=20, follow=False):
    """(status, bytes, headers), of a redirect itself unless it is to be followed; status 0 when nobody answers."""
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    opener = urllib.request.build_opener(*([] if follow else [Unredirected]))
    try:
        with opener.open(request, timeout=timeout) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers
    except (urllib.error.URLError, ConnectionError, TimeoutError, OSError) as error:
        return 0, b"", {"error": str(error)}


def decoded(raw):
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")


def wait_for(what, state, seconds=20, step=0.05):
    """Waits for a state, not for time; gives its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = state()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(step)
