"""One load, four counters: the load generator (h2load, not ours), the client's sidecar, the server's sidecar and the page's
document agree to the request."""
import http.server
import pathlib
import re
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from rig import Rig, fetch, free_ports, wait_for

REQUESTS = 3000


class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = 0
    lock = threading.Lock()

    def do_GET(self):
        with self.lock:
            App.seen += 1
            bad = App.seen % 10 == 0
        self.send_response(500 if bad else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


def samples(text, name, **labels):
    total = 0.0
    for line in text.splitlines():
        if line.startswith(name + "{") and all(f'{k}="{v}"' in line for k, v in labels.items()):
            total += float(line.rsplit(" ", 1)[1])
    return int(total)


def main(rig):
    server = Server(("127.0.0.1", 0), App)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    agent = rig.agent()
    local, client_metrics, server_metrics = free_ports(3)
    agent.put("/v1/config", {"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http"}})
    agent.put("/v1/agent/service/register", {"Name": "db", "Port": server.server_address[1], "Connect": {"SidecarService": {
        "Proxy": {"Config": {"envoy_prometheus_bind_addr": f"127.0.0.1:{server_metrics}"}}}}})
    agent.put("/v1/agent/service/register", {"Name": "web", "Port": 1, "Connect": {"SidecarService": {"Proxy": {
        "Config": {"envoy_prometheus_bind_addr": f"127.0.0.1:{client_metrics}"},
        "Upstreams": [{"DestinationName": "db", "LocalBindPort": local}]}}}})
    for name in ("db", "web"):
        rig.start(name, [rig.consul, "connect", "proxy", "-sidecar-for", name], env=agent.env)

    wait_for("the first call", lambda: fetch(f"http://127.0.0.1:{local}/")[0] == 200, 30)

    def edge():
        _, page, _ = fetch(f"{agent.url}/v1/insight/topology?window=300s")
        edges = page.get("Edges", []) if isinstance(page, dict) else []
        return next((e for e in edges if (e["Source"], e["Destination"]) == ("web", "db")), None)

    def counters():
        """Every counter that speaks of this edge, by its name."""
        _, client, _ = fetch(f"http://127.0.0.1:{client_metrics}/metrics")
        _, inbound, _ = fetch(f"http://127.0.0.1:{server_metrics}/metrics")
        upstream, public = {"consul_destination_service": "db"}, {"envoy_http_conn_manager_prefix": "public_listener"}
        found = {"the client sidecar's listener": samples(client, "envoy_http_downstream_rq_completed",
                                                          envoy_http_conn_manager_prefix="upstream"),
                 "the server sidecar": samples(inbound, "envoy_http_downstream_rq_completed", **public)}
        for c in "25":
            found[f"the client sidecar, {c}xx"] = samples(client, "envoy_cluster_upstream_rq_xx",
                                                          envoy_response_code_class=c, **upstream)
            found[f"the server sidecar, {c}xx"] = samples(inbound, "envoy_http_downstream_rq_xx",
                                                          envoy_response_code_class=c, **public)
        shown = edge()
        for side in ("Client", "Server"):
            found[f"the page, {side.lower()} view"] = shown[side]["TotalRequests"]
            found[f"the page, {side.lower()} view, errors"] = shown[side]["TotalErrors"]
        return found

    def quiet(wanted):
        """The counters once the page, which hears once a second, has what was asked for."""
        wait_for("the page to hear", lambda: edge() and edge()["Server"]["TotalRequests"] >= wanted and
                 edge()["Client"]["TotalRequests"] >= wanted, 15)
        return counters()

    before, seen = quiet(1), App.seen
    code, out, err = rig.run(["h2load", "--h1", "-n", REQUESTS, "-c", "8", "-t", "1", f"http://127.0.0.1:{local}/"],
                             timeout=120)
    counts = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", out)
    good, _, _, bad = (int(n) for n in counts.groups())
    rig.equal("h2load finished them all", good + bad, REQUESTS)
    rig.equal("the application answered them all", App.seen - seen, REQUESTS)
    wanted = {"2xx": good, "5xx": bad, "errors": bad}
    after = quiet(before["the page, server view"] + REQUESTS)
    for name, value in after.items():
        rig.equal(name, value - before[name], wanted.get(name.rsplit(" ", 1)[1], REQUESTS))


with Rig() as rig:
    main(rig)
