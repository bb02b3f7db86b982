"""A real Prometheus with the two scrape configurations of the talk finds and scrapes the demo: by `consul_sd_configs`, and by
`kubernetes_sd_configs`, whose API server is played by a few lines here (a cluster does not fit into a test). Debian leaves
out parts of the service discovery, each release others, so each configuration runs on the one that has it."""
import http.server
import json
import pathlib
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from rig import TOOLS, Rig, fetch, free_ports, wait_for


class Kubernetes(http.server.BaseHTTPRequestHandler):
    """Lists one pod, as an API server does, and then holds the watch open."""
    pods = []

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        if query.get("watch"):
            self.end_headers()
            time.sleep(60)
            return
        body = json.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
                           "items": self.pods if "/pods" in self.path else []}).encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def pod(container, port):
    return {"metadata": {"name": f"pod-{container}", "namespace": "default", "uid": container, "resourceVersion": "1"},
            "spec": {"nodeName": "n", "containers": [{"name": container, "ports": [{"containerPort": port}]}]},
            "status": {"phase": "Running", "podIP": "127.0.0.1", "hostIP": "127.0.0.1"}}


def main(rig):
    demo = rig.demo()

    def metrics_ports():
        _, services, _ = demo.get("/v1/agent/services")
        binds = {name: s.get("Proxy", {}).get("Config", {}).get("envoy_prometheus_bind_addr", "")
                 for name, s in services.items() if s.get("Kind") == "connect-proxy"}
        ports = {name: int(bind.rsplit(":", 1)[1]) for name, bind in binds.items() if bind}
        return ports if any("emojify-api" in name for name in ports) else None

    ports = wait_for("the sidecars' metrics ports", metrics_ports, 20)
    api_port = next(p for n, p in ports.items() if "emojify-api" in n)
    Kubernetes.pods = [pod("prometheus-statsd", api_port), pod("other", 1)]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Kubernetes)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    web, pods = free_ports(2)
    (rig.dir / "kubernetes.yml").write_text(f"""
scrape_configs:
- job_name: "pods"
  scrape_interval: 1s
  kubernetes_sd_configs: [{{role: pod, api_server: "http://127.0.0.1:{server.server_address[1]}"}}]
  relabel_configs: [{{action: keep, source_labels: [__meta_kubernetes_pod_container_name], regex: "prometheus-statsd"}}]
""")
    (rig.dir / "consul.yml").write_text(f"""
scrape_configs:
- job_name: "pods"
  scrape_interval: 1s
  consul_sd_configs: [{{server: "127.0.0.1:{demo.http}", refresh_interval: 1s}}]
  relabel_configs:
  - {{source_labels: [__meta_consul_service], target_label: job}}
  - {{source_labels: [__meta_consul_service_metadata_metrics_port], regex: ".+", action: keep}}
  - {{source_labels: [__address__, __meta_consul_service_metadata_metrics_port], regex: "([^:]+)(?::\\\\d+)?;(\\\\d+)",
     replacement: "$1:$2", target_label: __address__}}
""")
    for kind, port in (("consul", web), ("kubernetes", pods)):
        rig.start(f"prometheus-{kind}", [
            TOOLS / f"prometheus-{kind}/usr/bin/prometheus", f"--config.file={kind}.yml", "--log.level=warn",
            f"--web.listen-address=127.0.0.1:{port}", f"--storage.tsdb.path=data-{kind}"])

    def query(text, port=web):
        _, answer, _ = fetch(f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(text)}")
        return answer.get("data", {}).get("result", []) if isinstance(answer, dict) else []

    wanted = {"emojify-website", "emojify-api", "emojify-facebox", "emojify-cache", "emojify-ingress"}
    jobs = wait_for("consul_sd targets to be up", lambda: wanted <= {s["metric"]["job"] for s in query("up == 1")}, 60)
    rig.check("consul_sd finds every service and names the jobs after them", jobs)
    up = wait_for("the pod to be scraped", lambda: query('up{job="pods"} == 1', pods), 60)
    rig.equal("kubernetes_sd keeps only the container of the talk", len(up), 1)
    rates = ('sum by (local_cluster) (rate(envoy_cluster_upstream_rq_xx{envoy_response_code_class="2"}[5s])) > 0')
    callers = {"traffic", "emojify-ingress", "emojify-api"}
    rig.check("the talk's metric has rates by service", wait_for(
        "rates of every caller", lambda: callers <= {s["metric"]["local_cluster"] for s in query(rates)}, 60))
    quantile = ('histogram_quantile(0.99, sum by (le) '
                '(rate(envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="emojify-cache"}[10s])))')
    # Before the second scrape there is no rate and the quantile is no number.
    rig.check("histogram_quantile answers in milliseconds", wait_for(
        "a quantile", lambda: any(0 < float(s["value"][1]) < 60_000 for s in query(quantile)), 60))
    _, targets, _ = fetch(f"http://127.0.0.1:{web}/api/v1/targets")
    errors = [t["lastError"] for t in targets["data"]["activeTargets"] if t["lastError"] and t["health"] == "down"]
    rig.equal("no scrape fails", errors, [])


with Rig() as rig:
    main(rig)
