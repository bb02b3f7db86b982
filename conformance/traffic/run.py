"""Where calls go: routers, splitters, resolvers, failover and health, written with a real Consul's command line, followed
by our sidecars, and told apart by curl. Config changes and a rotation of the certificate authority's root happen under
load, and no request may fail of them."""
import collections
import http.server
import pathlib
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from rig import REAL_CONSUL, Rig, free_ports, wait_for


class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status = self.server.status
        seen = " ".join(f"{name.lower()}={value}" for name, value in sorted(self.headers.items()))
        body = f"{self.server.name} {self.path} {seen}\n".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def app(name):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
    server.name, server.status, server.daemon_threads = name, 200, True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def service(name, id, port, version="", upstream=None):
    proxy = ""
    if upstream:
        proxy = f'proxy {{ upstreams {{ destination_name = "api" local_bind_port = {upstream} }} }}'
    return f'''
services {{
  name = "{name}"
  id = "{id}"
  port = {port}
  meta {{ version = "{version}" }}
  connect {{ sidecar_service {{ {proxy} }} }}
}}
'''


class World:
    def __init__(self, rig):
        self.rig, self.agent = rig, rig.agent()
        self.apps = {name: app(name) for name in ("v1", "v2", "admin", "backup")}
        (self.port,) = free_ports(1)
        self.write('kind = "proxy-defaults"\nname = "global"\nconfig { protocol = "http" }')
        files = [service("web", "web", 1, upstream=self.port)]
        for name, id, app_name in [("api", "api-1", "v1"), ("api", "api-2", "v2"), ("admin", "admin", "admin"),
                                   ("backup", "backup", "backup")]:
            files.append(service(name, id, self.apps[app_name].server_address[1], app_name))
        (rig.dir / "services.hcl").write_text("".join(files))
        code, _, err = self.agent.cli("services", "register", "services.hcl", binary=REAL_CONSUL)
        rig.check("a real Consul's command line registers the services", code == 0, err)
        for id in ("web", "api-1", "api-2", "admin", "backup"):
            rig.start(f"sidecar-{id}", [rig.consul, "connect", "proxy", f"-sidecar-for={id}"], env=self.agent.env)
        wait_for("both versions to answer", lambda: set(self.answers(8)) == {"v1", "v2"}, 30)

    def write(self, text):
        (self.rig.dir / "entry.hcl").write_text(text)
        code, out, err = self.agent.cli("config", "write", "entry.hcl", binary=REAL_CONSUL)
        assert code == 0, (text, out, err)

    def delete(self, kind, name):
        code, out, err = self.agent.cli("config", "delete", "-kind", kind, "-name", name, binary=REAL_CONSUL)
        assert code == 0, (out, err)

    def curl(self, path="/", *more):
        """(status, body)"""
        done = subprocess.run(["curl", "-s", "-m", "10", "-w", "\n%{http_code}", *more, f"http://127.0.0.1:{self.port}{path}"],
                              capture_output=True, text=True)
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), body

    def who(self, path="/", *more):
        return self.curl(path, *more)[1].split(" ")[0]

    def answers(self, count, path="/"):
        """Who answered how often, over one connection."""
        urls = [f"http://127.0.0.1:{self.port}{path}"] * count
        done = subprocess.run(["curl", "-s", "-m", "20", *urls], capture_output=True, text=True)
        return collections.Counter(line.split(" ")[0] for line in done.stdout.splitlines())


RESOLVER = '''
kind = "service-resolver"
name = "api"
default_subset = "v1"
subsets {
  v1 { filter = "Service.Meta.version == v1" }
  v2 { filter = "Service.Meta.version == v2" }
}
'''


def routes(world):
    rig = world.rig
    world.write(RESOLVER)
    wait_for("the default subset", lambda: set(world.answers(20)) == {"v1"}, 15)
    rig.check("a default subset takes all calls", set(world.answers(40)) == {"v1"})
    world.write('''
kind = "service-router"
name = "api"
routes = [
  { match { http { path_prefix = "/admin" } } destination { service = "admin" prefix_rewrite = "/inside" } },
  { match { http { header = [ { name = "x-canary" exact = "yes" } ] } } destination { service_subset = "v2" } },
  { match { http { query_param = [ { name = "v" exact = "2" } ] methods = ["GET"] } } destination { service_subset = "v2" } },
  { match { http { path_regex = "/[0-9]+" } } destination { service = "backup" } },
]
''')
    wait_for("the router", lambda: world.who("/admin") == "admin", 15)
    status, body = world.curl("/admin/users?q=1")
    rig.check("a prefix is routed and rewritten", (status, body.split(" ")[:2]) == (200, ["admin", "/inside/users?q=1"]), body)
    rig.equal("a header decides", world.who("/", "-H", "x-canary: yes"), "v2")
    rig.equal("another value of it does not", world.who("/", "-H", "x-canary: no"), "v1")
    rig.equal("a parameter decides", world.who("/?v=2"), "v2")
    rig.equal("a pattern takes the whole path", (world.who("/12"), world.who("/12x")), ("backup", "v1"))
    rig.equal("what no route takes goes to the service", world.who("/else"), "v1")
    world.delete("service-router", "api")
    wait_for("the router to be gone", lambda: world.who("/admin") == "v1", 15)


def splits(world):
    rig = world.rig
    world.write('''
kind = "service-splitter"
name = "api"
splits = [ { weight = 75 service_subset = "v1" }, { weight = 25 service_subset = "v2" } ]
''')
    wait_for("the splitter", lambda: set(world.answers(40)) == {"v1", "v2"}, 15)
    counts = world.answers(400)
    rig.check("a splitter splits by weight", 60 <= counts["v2"] <= 145 and sum(counts.values()) == 400, str(counts))
    world.delete("service-splitter", "api")


def failover(world):
    rig = world.rig
    world.write(RESOLVER + 'failover { "*" { service = "backup" } }\n')
    wait_for("the resolver", lambda: set(world.answers(20)) == {"v1"}, 15)
    put = world.agent.put
    put("/v1/agent/service/maintenance/api-1?enable=true&reason=broken")
    wait_for("the failover", lambda: set(world.answers(10)) == {"backup"}, 15)
    rig.check("another service stands in for a subset without healthy instances", set(world.answers(40)) == {"backup"})
    put("/v1/agent/service/maintenance/api-1?enable=false")
    wait_for("the way back", lambda: set(world.answers(10)) == {"v1"}, 15)
    rig.check("and gives way when one is back", set(world.answers(40)) == {"v1"})
    world.delete("service-resolver", "api")
    wait_for("both versions", lambda: set(world.answers(20)) == {"v1", "v2"}, 15)


def retries(world):
    rig = world.rig
    world.write('''
kind = "service-router"
name = "api"
routes = [ { match { http { path_prefix = "/" } } destination { num_retries = 4 retry_on_status_codes = [503] } } ]
''')
    world.apps["v1"].status = 503
    wait_for("the router", lambda: "v2" in world.answers(10), 15)

    def all_good():
        return set(world.answers(20)) == {"v2"}
    wait_for("answers that are tried again", all_good, 15)
    rig.check("503s of one instance are tried again on the other", set(world.answers(100)) == {"v2"})
    world.apps["v1"].status = 200
    world.delete("service-router", "api")


def foresight(world):
    """`-plan` says what a write would do, and does not do it."""
    rig, agent = world.rig, world.agent

    def seen():
        edges = agent.get("/v1/insight/topology?window=15m")[1]["Edges"]
        return next((edge for edge in edges if (edge["Source"], edge["Destination"]) == ("web", "api")), None)
    world.answers(50)
    wait_for("the reports", lambda: seen() and seen()["Client"]["TotalRequests"] > 50, 15)

    def settled():
        before = seen()["Client"]["TotalRequests"]
        time.sleep(1.5)  # two reports: what is not told yet is told by then
        return seen()["Client"]["TotalRequests"] == before
    wait_for("all reports", settled, 15)
    total = seen()["Client"]["TotalRequests"]
    code, out, err = agent.cli("intention", "create", "-deny", "-plan", "web", "api")
    rig.check("intention create -plan names the proxies of the destination", code == 0 and "api-1-sidecar-proxy" in out
              and "api-2-sidecar-proxy" in out and "admin-sidecar-proxy" not in out, out + err)
    rig.check(f"it counts the {total} requests that would have been refused",
              f"Requests that would have been refused: {total}\n" in out, out)
    rig.equal("and writes nothing", agent.get("/v1/connect/intentions")[1], [])
    (rig.dir / "entry.hcl").write_text('kind = "service-router"\nname = "api"\nroutes = [ { match { http { path_prefix = "/x" } } '
                                       'destination { service = "admin" } } ]')
    code, out, err = agent.cli("config", "write", "-plan", "entry.hcl")
    rig.check("config write -plan names the proxy and its new route", code == 0 and "web-sidecar-proxy" in out
              and "outbound api routes api/x" in out and "would be sent another way" in out, out + err)
    rig.equal("and writes nothing either", agent.get("/v1/config/service-router")[1], [])
    (rig.dir / "entry.hcl").write_text('kind = "service-splitter"\nname = "api"\nsplits = [ { weight = 50 } ]')
    code, out, err = agent.cli("config", "write", "-plan", "entry.hcl")
    rig.check("what would be refused is refused", code == 1 and "weights must" in err, out + err)


def under_load(world):
    rig = world.rig
    stop, results = threading.Event(), collections.Counter()

    def load():
        while not stop.is_set():
            urls = [f"http://127.0.0.1:{world.port}/"] * 20
            done = subprocess.run(["curl", "-s", "-m", "20", "-w", "%{http_code}\n", "-o", "/dev/null", *sum(
                ([url, "-o", "/dev/null"] for url in urls[1:]), [urls[0]])], capture_output=True, text=True)
            results.update(done.stdout.split())
    threads = [threading.Thread(target=load) for _ in range(2)]
    [thread.start() for thread in threads]
    for round in range(3):
        world.write(RESOLVER.replace('"v1"\n', f'"v{round % 2 + 1}"\n', 1))
        # Another root by another key; then one by a new key of the authority's own.
        rig.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"key{round}.pem"])
        key = (rig.dir / f"key{round}.pem").read_text()
        status, text, _ = world.agent.put("/v1/connect/ca/configuration",
                                          {"Provider": "consul", "Config": {"LeafCertTTL": "72h", "PrivateKey": key}})
        assert status == 200, text
        serial = lambda: world.agent.get("/v1/agent/connect/ca/leaf/api")[1]["SerialNumber"]
        before = serial()
        wait_for("a leaf of the new root", lambda: serial() != before, 20)
        world.delete("service-resolver", "api")
    roots = world.agent.get("/v1/connect/ca/roots")[1]["Roots"]
    stop.set()
    [thread.join() for thread in threads]
    rig.check("three rotations of the root left four roots", len(roots) == 4, str(len(roots)))
    bad = {code: count for code, count in results.items() if code != "200"}
    rig.check(f"no request failed of six changes of entries and three of roots ({sum(results.values())} requests)",
              not bad and sum(results.values()) > 100, str(bad))


def main(rig):
    world = World(rig)
    routes(world)
    splits(world)
    failover(world)
    retries(world)
    foresight(world)
    under_load(world)


with Rig() as rig:
    main(rig)
