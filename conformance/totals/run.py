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
    warm = 0

    def first():
        nonlocal warm
        warm += 1
        return fetch(f"http://127.0.0.1:{local}/")[0] in (200, 500)

    wait_for("the first call", first, 30)
    code, out, err = rig.run(["h2load", "--h1", "-n", REQUESTS, "-c", "8", "-t", "1", f"http://127.0.0.1:{local}/"], timeout=120)
    counts = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", out)
    good, _, _, bad = (int(n) for n in counts.groups())
    rig.equal("h2load finished them all", good + bad, REQUESTS)

    page = lambda: fetch(f"{agent.url}/v1/insight/topology?window=300s")[1]
    edge = lambda: next((e for e in (page() or {}).get("Edges", []) if (e["Source"], e["Destination"]) == ("web", "db")), None)
    total = REQUESTS + warm
    wait_for("the page to have them all", lambda: (edge() or {"Client": {}})["Client"].get("TotalRequests") == total
             and edge()["Server"].get("TotalRequests"), 15)
    scrape = {name: fetch(f"http://127.0.0.1:{port}/metrics")[1]
              for name, port in (("client", client_metrics), ("server", server_metrics))}
    reached = App.seen  # what the application answered; a warm-up call may have ended in the mesh (503)
    client = {c: samples(scrape["client"], "envoy_cluster_upstream_rq_xx", envoy_response_code_class=c,
                         consul_destination_service="db") for c in "25"}
    inbound = {c: samples(scrape["server"], "envoy_http_downstream_rq_xx", envoy_response_code_class=c,
                          envoy_http_conn_manager_prefix="public_listener") for c in "25"}
    warm_bad = inbound["5"] - bad
    rig.equal("server sidecar, 2xx + 5xx = what the application answered", sum(inbound.values()), reached)
    rig.equal("client sidecar's listener, all requests", samples(
        scrape["client"], "envoy_http_downstream_rq_completed", envoy_http_conn_manager_prefix="upstream"), total)
    rig.equal("client sidecar's upstream = server sidecar, 2xx", client["2"], inbound["2"])
    rig.equal("client sidecar's upstream = server sidecar, 5xx", client["5"], inbound["5"])
    rig.equal("load generator's 5xx = server sidecar's, but for the warm-up", 0 <= warm_bad <= warm, True)
    rig.equal("page, server view", edge()["Server"]["TotalRequests"], reached)
    rig.equal("page, client view", edge()["Client"]["TotalRequests"], total)
    rig.equal("page, errors", edge()["Server"]["TotalErrors"], inbound["5"])


with Rig() as rig:
    main(rig)
