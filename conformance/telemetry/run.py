"""The sinks, read by programs that are not ours and held against the names of a real Envoy 1.40 set up by Consul.

Readers: prometheus_client's text parser; the parser of the netuitive-statsd server (StatsD with DogStatsD's tags); the
statsdmetrics parser (plain StatsD, strict). None of them knows DogStatsD 1.1's packed values, so a packed line is
unfolded here before it is read. envoy-1.40.json holds names, types and label names, no values.
"""
import json
import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GOLDEN = json.loads((HERE / "envoy-1.40.json").read_text())
SETS = GOLDEN["label_sets"]

# What dashboards, Consul's own pages and alert rules read.
NEEDED = """
envoy_listener_http_downstream_rq_xx envoy_http_downstream_rq_completed envoy_http_downstream_rq_xx
envoy_http_downstream_rq_time envoy_cluster_upstream_rq_completed envoy_cluster_upstream_rq_xx
envoy_cluster_upstream_rq_time envoy_tcp_downstream_cx_total envoy_tcp_downstream_cx_rx_bytes_total
envoy_tcp_downstream_cx_tx_bytes_total envoy_tcp_downstream_cx_no_route envoy_cluster_upstream_cx_total
envoy_cluster_upstream_cx_rx_bytes_total envoy_cluster_upstream_cx_tx_bytes_total
envoy_cluster_upstream_cx_connect_fail envoy_cluster_upstream_rq_total envoy_cluster_upstream_cx_active
envoy_http_downstream_cx_active envoy_cluster_membership_healthy envoy_cluster_membership_total
envoy_http_downstream_rq_total envoy_tcp_downstream_cx_rx_bytes_buffered envoy_tcp_downstream_cx_tx_bytes_buffered
envoy_listener_downstream_cx_overload_reject envoy_listener_downstream_global_cx_overflow envoy_server_live
envoy_server_uptime envoy_server_memory_heap_size envoy_server_memory_allocated
""".split()

# Envoy has these too, only not in the captured set-up, which had neither TLS nor RBAC.
NOT_CAPTURED = re.compile(r"(_|\.)(ssl|rbac)(_|\.)|_rbac_|^envoy.rbac")

passed = failed = 0


def case(name, problems):
    global passed, failed
    problems = list(problems)
    if problems:
        failed += 1
        print(f"FAIL {name}")
        for problem in problems[:20]:
            print(f"     {problem}")
    else:
        passed += 1
        print(f"ok   {name}")


def receiver():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(0.5)
    return sock, f"udp://127.0.0.1:{sock.getsockname()[1]}"


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def drain(sock, deadline):
    """All datagrams until the sender has been silent for half a second after the first."""
    out = []
    while time.monotonic() < deadline:
        try:
            out.append(sock.recv(65536))
        except TimeoutError:
            if out:
                return out
    return out


def prometheus(page):
    from prometheus_client.parser import text_string_to_metric_families

    names = {}
    for line in page.splitlines():
        match = re.match(r"# TYPE (\S+) (\S+)", line)
        if match:
            names[match[1]] = match[2]
    families = {family.name: family for family in text_string_to_metric_families(page)}
    case("prometheus_client reads the page", [] if families else ["nothing read"])
    # The parser takes `_total` off a counter's name; the page's own names are what is compared.
    order = {}
    for line in page.splitlines():
        match = re.match(r"([a-zA-Z0-9_:]+)(?:\{(.*)\})? \S+$", line)
        if match and not line.startswith("#"):
            labels = [l for l in re.findall(r'([a-zA-Z0-9_]+)="', match[2] or "") if l != "le"]
            name = match[1]
            if name not in names:
                name = re.sub(r"_(bucket|sum|count)$", "", name)
            order.setdefault(name, []).append(labels)
    case("every metric that is read elsewhere is there", [n for n in NEEDED if n not in order])
    wrong = []
    for name, label_lists in order.items():
        if not name.startswith("envoy_") or NOT_CAPTURED.search(name):
            continue
        if name not in GOLDEN["prometheus"]:
            wrong.append(f"{name}: Envoy has no such metric")
            continue
        golden = GOLDEN["prometheus"][name]
        if golden["type"] != names[name]:
            wrong.append(f"{name}: {names[name]}, Envoy says {golden['type']}")
        known = [SETS[i] for i in golden["labels"]]
        wrong += [f"{name}: labels {labels}, Envoy has {known}" for labels in label_lists if labels not in known]
    case("names, types and labels are Envoy's, in its order", wrong)
    samples = {(s.name, s.labels.get("grpc_method")): s for f in families.values() for s in f.samples
               if s.name == "meshglass_requests_total" and s.labels["direction"] == "outbound"}
    fail = samples.get(("meshglass_requests_total", "Fail"))
    good = fail and fail.labels["grpc_status"] == "14" and fail.labels["grpc_service"] == "helloworld.Greeter"
    case("gRPC service, method and status are labels", [] if good else [f"{samples}"])
    histogram = families["envoy_cluster_upstream_rq_time"].samples
    le = [s.labels["le"] for s in histogram if s.name.endswith("_bucket") and
          s.labels.get("consul_destination_target") == "api.default.dc1"]
    wanted = "0.5 1 5 10 25 50 100 250 500 1000 2500 5000 10000 30000 60000 300000 600000 1800000 3600000 +Inf"
    case("latency buckets are Envoy's", [] if le == wanted.split() else [f"{le}"])
    upstreams = [line for line in page.splitlines() if 'consul_destination_target="db.default.dc1"' in line]
    size = sum(len(line) + 1 for line in upstreams)
    print(f"     {len(page)} bytes in {len(page.splitlines())} lines; {size} bytes for the idle upstream db")


def dogstatsd(datagrams):
    from libs.statsd.parser import parse_message

    case("no DogStatsD datagram is larger than 1432 bytes", [len(d) for d in datagrams if len(d) > 1432])
    wrong, unread, count = [], [], 0
    for line in (line for d in datagrams for line in d.decode().split("\n")):
        name, rest = line.split(":", 1)
        values, rest = rest.split("|", 1)
        for value in values.split(":"):
            count += 1
            parsed = parse_message(f"{name}:{value}|{rest}")
            ok = parsed and len(parsed["metrics"]) == 1 and parsed["metrics"][0]["name"] == name
            if not ok or float(parsed["metrics"][0]["value"]) != float(value):
                unread.append(line)
        kind, _, tags = rest.partition("|#")
        kind = kind.split("|")[0]
        tags = [tag.split(":")[0] for tag in tags.split(",")]
        if not name.startswith("envoy.") or NOT_CAPTURED.search(name):
            continue
        if name not in GOLDEN["dogstatsd"]:
            # Envoy tells only of what it has seen; the page tells of everything.
            if name.replace(".", "_") not in GOLDEN["prometheus"]:
                wrong.append(f"{name}: Envoy has no such metric")
            continue
        golden = GOLDEN["dogstatsd"][name]
        if golden["type"] != kind:
            wrong.append(f"{name}: {kind}, Envoy says {golden['type']}")
        # Envoy sends tags without a value; servers count each as an error, so they are left out here.
        known = [SETS[i] for i in golden["tags"]]
        if not any([t for t in one if t in tags] == tags for one in known):
            wrong.append(f"{name}: tags {tags}, Envoy has {known}")
    case(f"netuitive-statsd reads all {count} DogStatsD values", unread or ([] if count else ["nothing came"]))
    case("DogStatsD names, types and tags are Envoy's, in its order", wrong)


def on_page(name):
    """Envoy sends only what it has used; its page has the rest, under the cut name."""
    group, stat = name.split(".")[1], name.rsplit(".", 1)[-1]
    return f"envoy_{group}_{stat}" in GOLDEN["prometheus"]


def statsd(datagrams):
    from statsdmetrics import parse_metric_from_request

    lines = [line for d in datagrams for line in d.decode().split("\n")]
    unread = []
    for line in lines:
        try:
            metric = parse_metric_from_request(line)
            if metric.name != line.split(":")[0]:
                unread.append(line)
        except (ValueError, AssertionError) as error:
            unread.append(f"{line}: {error}")
    case(f"statsdmetrics reads all {len(lines)} StatsD lines", unread or ([] if lines else ["nothing came"]))
    wrong = []
    shapes = {re.sub(r"_\d(xx|\d\d)$", "_N", n).rsplit(".", 1)[-1] for n in GOLDEN["statsd"]}
    for line in lines:
        name, kind = line.split(":")[0], line.split("|")[1]
        if NOT_CAPTURED.search(name):
            continue
        golden = GOLDEN["statsd"].get(name)
        # A statistic that the captured Envoy had no occasion to send: its shape is known from the others.
        shape = re.sub(r"_\d(xx|\d\d)$", "_N", name).rsplit(".", 1)[-1]
        if golden not in (None, kind) or (golden is None and shape not in shapes and not on_page(name)):
            wrong.append(f"{name} {kind}, Envoy says {golden}")
    case("StatsD names and types are Envoy's", wrong)


def main():
    dog, dog_url = receiver()
    plain, plain_url = receiver()
    address = free_address()
    build = ["cargo", "build", "--quiet", "--locked", "--package", "meshglass-telemetry", "--example", "web_sidecar",
             "--message-format", "json"]
    built = subprocess.run(build, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    program = [json.loads(line).get("executable") for line in built.stdout.splitlines()]
    program = [one for one in program if one][-1]
    sidecar = subprocess.Popen([program, address, dog_url, plain_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        sidecar.stdout.readline()
        deadline = time.monotonic() + 30
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            prometheus(answer.read().decode())
        dogstatsd(drain(dog, deadline))
        statsd(drain(plain, deadline))
    finally:
        sidecar.stdin.close()
        sidecar.wait(10)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
