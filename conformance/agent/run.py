"""An agent and its checks, against servers we did not write and a real Consul's command line: every kind of check,
what a kill leaves, what tampering with the catalog does, maintenance, reload, metrics."""
import concurrent.futures
import http.server
import json
import os
import pathlib
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import urllib.request

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from rig import REAL_CONSUL, Agent, Rig, free_ports, wait_for

SCRIPT_REFUSED = ("Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' "
                  "to true")
SYSTEMCTL = """#!/bin/sh
for name; do :; done
case $name in
  good.service) printf 'LoadState=loaded\\nActiveState=active\\n' ;;
  bad.service) printf 'LoadState=loaded\\nActiveState=failed\\n' ;;
  *) printf 'LoadState=not-found\\nActiveState=inactive\\n' ;;
esac
"""


class Web(http.server.BaseHTTPRequestHandler):
    """Answers by path, and says what it was sent."""
    seen = []

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        Web.seen.append((self.command, self.path, dict(self.headers), self.rfile.read(length).decode()))
        code = {"/429": 429, "/500": 500, "/from": 302}.get(self.path, 200)
        body = b"x" * 5000 + b"END" if self.path == "/long" else self.path.encode()
        self.send_response(code)
        if code == 302:
            self.send_header("Location", "/to")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = answer

    def log_message(self, *_):
        pass


class Docker(http.server.BaseHTTPRequestHandler):
    """The three requests of an engine's API that running a program in a container takes."""
    protocol_version = "HTTP/1.1"

    def reply(self, code, body):
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        given = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
        if self.path.startswith("/containers/web/"):
            Docker.command = given["Cmd"]
            self.reply(201, b'{"Id": "e1"}')
        elif self.path == "/exec/e1/start":
            frame = lambda stream, text: bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text
            self.reply(200, frame(1, b"to out, ") + frame(2, b"to err"))
        else:
            self.reply(404, b'{"message": "No such container: gone"}')

    def do_GET(self):
        self.reply(200, json.dumps({"ID": "e1", "Running": False, "ExitCode": 1}).encode())

    def address_string(self):
        return "docker"

    def log_message(self, *_):
        pass


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def serve(server):
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Disk:
    """An agent with a data directory, which can be killed and started again on the same ports."""

    def __init__(self, rig, name, config, env=None):
        self.rig, self.name, self.env, self.count = rig, name, env or {}, 0
        http_port, dns, serf = free_ports(3)
        self.serf = serf
        self.dir = rig.dir / name
        (self.dir / "conf").mkdir(parents=True)
        base = {"node_name": "n1", "server": True, "bootstrap_expect": 1, "data_dir": str(self.dir / "data"),
                "bind_addr": "127.0.0.1", "ports": {"http": http_port, "dns": dns, "grpc": -1, "serf_lan": serf}}
        (self.dir / "conf/agent.json").write_text(json.dumps({**base, **config}))
        self.http = http_port
        self.start()

    def start(self):
        self.count += 1
        argv = [self.rig.consul, "agent", "-config-dir", self.dir / "conf"]
        process = self.rig.start(f"{self.name}-{self.count}", argv, env=self.env)
        self.agent = Agent(self.rig, self.http, process)
        wait_for(f"the agent {self.name}", lambda: self.agent.get("/v1/status/leader")[1], 20)

    def kill(self):
        self.agent.process.send_signal(signal.SIGKILL)
        self.agent.process.wait()


def check_of(agent, check_id):
    return agent.get("/v1/agent/checks")[1].get(check_id, {})


def settled(agent, check_id, status):
    """The check once it has that status and has been run."""
    return wait_for(f"{check_id} to be {status}", lambda: (
        lambda check: check if check.get("Status") == status and check.get("Output") else None)(
            check_of(agent, check_id)), 20)


def kinds(rig, agent, web, secure, target, docker_socket):
    """Each kind of check against a server of somebody else."""
    url = f"http://127.0.0.1:{web}"
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.1", 0))
    udp = silent.getsockname()[1]
    (closed,) = free_ports(1)
    cases = [
        ("h-200", {"HTTP": url + "/ok"}, "passing", f"HTTP GET {url}/ok: 200 OK Output: /ok"),
        ("h-429", {"HTTP": url + "/429"}, "warning", f"HTTP GET {url}/429: 429 Too Many Requests Output: /429"),
        ("h-500", {"HTTP": url + "/500"}, "critical", f"HTTP GET {url}/500: 500 Internal Server Error Output: /500"),
        ("h-redirect", {"HTTP": url + "/from"}, "passing", f"HTTP GET {url}/from: 200 OK Output: /to"),
        ("h-stay", {"HTTP": url + "/from", "DisableRedirects": True}, "critical", "302 Found"),
        ("h-long", {"HTTP": url + "/long", "OutputMaxSize": 6}, "passing", "Output: xxxEND"),
        ("h-put", {"HTTP": url + "/put", "Method": "PUT", "Body": "given", "Header": {"X-A": ["1", "2"]}}, "passing",
         f"HTTP PUT {url}/put: 200 OK"),
        ("t-open", {"TCP": f"127.0.0.1:{web}"}, "passing", f"TCP connect 127.0.0.1:{web}: Success"),
        ("t-closed", {"TCP": f"127.0.0.1:{closed}"}, "critical",
         f"dial tcp 127.0.0.1:{closed}: connect: connection refused"),
        ("t-tls", {"TCP": f"127.0.0.1:{secure}", "TCPUseTLS": True, "TLSSkipVerify": True}, "passing", "Success"),
        ("t-tls-bad", {"TCP": f"127.0.0.1:{secure}", "TCPUseTLS": True}, "critical", "tls: "),
        ("u-silent", {"UDP": f"127.0.0.1:{udp}", "Timeout": "1s"}, "passing", "Success"),
        ("u-closed", {"UDP": f"127.0.0.1:{closed}", "Timeout": "1s"}, "critical", "connection refused"),
        ("g-all", {"GRPC": f"127.0.0.1:{target}"}, "passing", f"gRPC check 127.0.0.1:{target}: success"),
        ("g-up", {"GRPC": f"127.0.0.1:{target}/up"}, "passing", "success"),
        ("g-down", {"GRPC": f"127.0.0.1:{target}/down"}, "critical", "NOT_SERVING"),
        ("g-unknown", {"GRPC": f"127.0.0.1:{target}/nobody"}, "critical", "gRPC check"),
        ("g-tls", {"GRPC": f"127.0.0.1:{secure}/up", "GRPCUseTLS": True, "TLSSkipVerify": True}, "passing", "success"),
        ("p-plain", {"H2PING": f"127.0.0.1:{target}", "H2PingUseTLS": False}, "passing", "HTTP2 ping was successful"),
        ("p-tls", {"H2PING": f"127.0.0.1:{secure}", "TLSSkipVerify": True}, "passing", "HTTP2 ping was successful"),
        ("p-closed", {"H2PING": f"127.0.0.1:{closed}"}, "critical", "Failed to dial to"),
        ("s-0", {"Args": ["sh", "-c", "echo out; echo err >&2"]}, "passing", "out\nerr\n"),
        ("s-1", {"Args": ["sh", "-c", "echo w; exit 1"]}, "warning", "w\n"),
        ("s-2", {"ScriptArgs": ["sh", "-c", "echo c; exit 2"]}, "critical", "c\n"),
        ("s-late", {"args": ["sh", "-c", "echo begin; sleep 9"], "timeout": "1s"}, "critical",
         "Timed out (1s) running check\n\nbegin\n"),
        ("s-none", {"Args": ["/nonexistent"]}, "critical", "fork/exec /nonexistent: no such file or directory"),
        ("d-web", {"DockerContainerID": "web", "Args": ["/bin/df"]}, "warning", "to out, to err"),
        ("d-gone", {"docker_container_id": "gone", "args": ["true"]}, "critical", "No such container: gone"),
        ("o-good", {"OSService": "good.service"}, "passing", 'Service "good.service" is healthy'),
        ("o-bad", {"os_service": "bad.service"}, "critical", 'Service "bad.service" is failed'),
        ("o-none", {"os_service": "none.service"}, "critical", 'Service "none.service" was not found'),
    ]
    for name, keys, _, _ in cases:
        status, text, _ = agent.put("/v1/agent/check/register", {"Name": name, "Interval": "1s", **keys})
        if status != 200:
            rig.check(f"register {name}", False, (status, text))
    for name, _, status, output in cases:
        check = settled(agent, name, status)
        rig.check(f"kind: {name} is {status}", output in check["Output"], repr(check["Output"]))
    sent = next(seen for seen in Web.seen if seen[1] == "/put")
    rig.check("kind: a request carries method, body and every header",
              sent[0] == "PUT" and sent[3] == "given" and sent[2].get("User-Agent") == "Consul Health Check" and "X-A" in sent[2], sent)
    rig.equal("kind: what a container was told to run", Docker.command[:1] in (["/bin/df"], ["true"]), True)
    for name, _, _, _ in cases:
        agent.put(f"/v1/agent/check/deregister/{name}")
    rig.equal("kind: all are gone again", agent.get("/v1/agent/checks")[1], {})


def grpc_servers(rig):
    key, cert = rig.dir / "key.pem", rig.dir / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days",
                    "2", "-subj", "/CN=localhost"], check=True, capture_output=True)
    servicer = health.HealthServicer()
    servicer.set("up", health_pb2.HealthCheckResponse.SERVING)
    servicer.set("down", health_pb2.HealthCheckResponse.NOT_SERVING)
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    plain = server.add_insecure_port("127.0.0.1:0")
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())])
    secure = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    return server, plain, secure


def scripts(rig):
    """Who may have programs run: nobody, files, everybody."""
    script = {"Name": "s", "Args": ["true"], "Interval": "1s"}
    agent = rig.agent("closed")
    rig.equal("scripts: refused by the API", agent.put("/v1/agent/check/register", script)[:2], (500, SCRIPT_REFUSED))
    body = {"Name": "web", "Connect": {"SidecarService": {"Checks": [script]}}}
    rig.equal("scripts: refused inside a sidecar", agent.put("/v1/agent/service/register", body)[0], 500)
    files = rig.dir / "scripts"
    files.mkdir()
    (files / "check.hcl").write_text('check { name = "local" args = ["sh", "-c", "echo hi"] interval = "1s" }')
    code, out, err = rig.run([rig.consul, "agent", "-dev", "-config-dir", files], timeout=20)
    rig.check("scripts: an agent that may not run its file's program does not start",
              code == 1 and "enable_local_script_checks" in out + err, (code, out, err))
    agent = rig.agent("local", ["-enable-local-script-checks", "-config-dir", files])
    rig.equal("scripts: a file's runs when local ones may", settled(agent, "local", "passing")["Output"], "hi\n")
    rig.equal("scripts: and the API's still not", agent.put("/v1/agent/check/register", script)[0], 500)
    return agent, files


def reload(rig, agent, files):
    put = agent.put("/v1/agent/service/register", {"Name": "by-api", "Check": {"TTL": "1h", "Status": "passing"}})
    rig.equal("reload: a service of the API", put[0], 200)
    (files / "web.json").write_text(json.dumps({"service": {"name": "web", "port": 1, "check": {
        "id": "web-ttl", "ttl": "1h", "status": "passing"}}}))
    rig.equal("reload: over HTTP", agent.put("/v1/agent/reload")[0], 200)
    rig.equal("reload: a new file's service", sorted(agent.get("/v1/agent/services")[1]), ["by-api", "web"])
    agent.put("/v1/agent/check/warn/web-ttl?note=hm")
    (files / "web.json").write_text(json.dumps({"service": {"name": "web", "port": 2, "check": {
        "id": "web-ttl", "ttl": "1h", "status": "passing"}}}))
    (files / "check.hcl").unlink()
    agent.process.send_signal(signal.SIGHUP)
    wait_for("the change after SIGHUP", lambda: agent.get("/v1/agent/service/web")[1].get("Port") == 2)
    rig.equal("reload: a check keeps what it knows", check_of(agent, "web-ttl").get("Output"), "hm")
    rig.equal("reload: a removed check goes", sorted(agent.get("/v1/agent/checks")[1]), ["service:by-api", "web-ttl"])
    (files / "web.json").write_text("{nope")
    status, text, _ = agent.put("/v1/agent/reload")
    rig.check("reload: a broken file is told and changes nothing",
              status == 500 and "web.json" in str(text) and agent.get("/v1/agent/service/web")[0] == 200, (status, text))
    (files / "web.json").unlink()
    agent.put("/v1/agent/reload")
    rig.equal("reload: a removed file's service goes", sorted(agent.get("/v1/agent/services")[1]), ["by-api"])


def persistence(rig, disk):
    """What a kill -9 leaves."""
    agent = disk.agent
    web = {"Name": "web", "ID": "web-1", "Port": 80, "Tags": ["a"], "Meta": {"k": "v"}, "Token": "s3cret",
           "Checks": [{"CheckID": "up", "TTL": "1h"}, {"CheckID": "tcp", "TCP": f"127.0.0.1:{disk.http}",
                                                       "Interval": "1s"}], "Connect": {"SidecarService": {}}}
    for body in ({"Name": "other", "Connect": {"SidecarService": {}}}, web):
        rig.equal(f"persistence: register {body['Name']}", agent.put("/v1/agent/service/register", body)[0], 200)
    agent.put("/v1/agent/service/deregister/other")
    agent.put("/v1/agent/check/update/up", {"Status": "warning", "Output": "so so"})
    agent.put("/v1/agent/check/register", {"Name": "node-ttl", "TTL": "1h"})
    agent.put("/v1/agent/service/maintenance/web-1?enable=true&reason=why")
    services = agent.get("/v1/agent/services")[1]

    def written():
        checks = {check["CheckID"]: check for check in disk.agent.get("/v1/health/checks/web")[1]}
        return checks["tcp"]["Status"] == "passing" and checks["tcp"]["ModifyIndex"]
    before = wait_for("the catalog to know that the check passes", written)
    disk.kill()
    rig.equal("persistence: nobody else reads the files",
              {oct(path.stat().st_mode & 0o777) for folder in ("services", "checks")
               for path in (disk.dir / "data" / folder).iterdir() if path.is_file()}, {"0o600"})
    (disk.dir / "data/services/broken").write_text('{"Service": {')
    disk.start()
    agent = disk.agent
    rig.equal("persistence: services come back with port and meta", agent.get("/v1/agent/services")[1], services)
    rig.equal("persistence: a TTL's last word holds", (check_of(agent, "up")["Status"], check_of(agent, "up")["Output"]),
              ("warning", "so so"))
    rig.equal("persistence: one that never spoke is critical", check_of(agent, "node-ttl")["Status"], "critical")
    settled(agent, "tcp", "passing")
    agent.put("/v1/agent/service/register", {"Name": "marker"})
    wait_for("a round of anti-entropy", lambda: agent.get("/v1/catalog/service/marker")[1])
    agent.put("/v1/agent/service/deregister/marker")
    rig.equal("persistence: a start takes nothing out of the catalog", written(), before)
    rig.equal("persistence: maintenance holds", check_of(agent, "_service_maintenance:web-1").get("Notes"), "why")
    rig.check("persistence: a broken file is named", "services/broken" in rig.log(f"disk-{disk.count}"))
    rig.check("persistence: no secret in the log", "s3cret" not in rig.log(f"disk-{disk.count}"))
    agent.put("/v1/agent/service/maintenance/web-1?enable=false")
    agent.put("/v1/agent/service/deregister/web-1")
    disk.kill()
    disk.start()
    rig.equal("persistence: what was deregistered stays away", disk.agent.get("/v1/agent/services")[1], {})
    rig.equal("persistence: and its checks", sorted(disk.agent.get("/v1/agent/checks")[1]), ["node-ttl"])


def tamper(rig, agent):
    """Writes into the catalog what the agent does not know; the next full comparison undoes it."""
    for service in ({"Name": "real", "Port": 1, "Tags": ["mine"], "Check": {"TTL": "1h", "Status": "passing"}},
                    {"Name": "tagged", "Tags": ["mine"], "EnableTagOverride": True}):
        rig.equal(f"anti-entropy: register {service['Name']}", agent.put("/v1/agent/service/register", service)[0], 200)
    wait_for("both in the catalog", lambda: agent.get("/v1/catalog/service/real")[1]
             and agent.get("/v1/catalog/service/tagged")[1])
    node = {"Node": "n1", "Address": "127.0.0.1", "SkipNodeUpdate": True}
    for body in ({"Service": {"Service": "real", "Port": 999, "Tags": ["theirs"]}},
                 {"Service": {"Service": "tagged", "Port": 5, "Tags": ["theirs"], "EnableTagOverride": True}},
                 {"Service": {"Service": "foreign", "Port": 3}},
                 {"Check": {"CheckID": "service:real", "Name": "x", "ServiceID": "real", "Status": "critical"}}):
        rig.equal("anti-entropy: tamper", agent.put("/v1/catalog/register", {**node, **body})[0], 200)

    def undone():
        real = agent.get("/v1/catalog/service/real")[1]
        return real and real[0]["ServicePort"] == 1 and real[0]["ServiceTags"] == ["mine"] \
            and not agent.get("/v1/catalog/service/foreign")[1] \
            and agent.get("/v1/health/checks/real")[1][0]["Status"] == "passing"

    def later():
        wait_for("the tampering to be undone", undone, 100, 0.5)
        rig.check("anti-entropy: tampering is undone, foreign services are removed", True)
        tagged = agent.get("/v1/catalog/service/tagged")[1][0]
        rig.equal("anti-entropy: tags that may be overridden stay, the rest does not",
                  (tagged["ServiceTags"], tagged["ServicePort"], agent.get("/v1/agent/service/tagged")[1]["Tags"]),
                  (["theirs"], 0, ["theirs"]))
    return later


def routes(rig, disk):
    agent = disk.agent
    rig.equal("unknown service", agent.put("/v1/agent/service/deregister/nobody")[:2],
              (404, 'Unknown service ID "nobody". Ensure that the service ID is passed, not the service name.'))
    rig.equal("unknown check", agent.put("/v1/agent/check/deregister/nobody")[:2],
              (404, 'Unknown check ID "nobody". Ensure that the check ID is passed, not the check name.'))
    rig.equal("join itself", agent.put(f"/v1/agent/join/127.0.0.1:{disk.serf}")[0], 200)
    rig.equal("force-leave an unknown node", agent.put("/v1/agent/force-leave/x")[:2],
              (500, "agent: No node found with name 'x'"))
    rig.equal("version", agent.get("/v1/agent/version")[1]["HumanVersion"],
              agent.get("/v1/agent/self")[1]["Config"]["Version"])
    host = agent.get("/v1/agent/host")[1]
    rig.check("host", host["Memory"]["total"] > 0 and host["CPU"] and host["Host"]["os"] == "linux"
              and host["Disk"]["total"] > 0, host)
    rig.equal("tokens without access control", agent.put("/v1/agent/token/agent", {"Token": "x"})[:2],
              (401, "ACL support disabled"))
    summary = agent.get("/v1/agent/metrics")[1]
    rig.equal("metrics: the shape", sorted(summary), ["Counters", "Gauges", "Points", "Samples", "Timestamp"])
    page = agent.get("/v1/agent/metrics?format=prometheus")[1]
    for line in ('consul_api_http_count{method="GET",path="v1_agent_self"}', "consul_agent_services ",
                 'path="v1_agent_service_deregister_"', "consul_client_rpc ", 'consul_agent_check_count{type="tcp"'):
        rig.check(f"metrics: {line}", line in page)
    rig.equal("metrics: off unless wanted", rig.closed.get("/v1/agent/metrics?format=prometheus")[0], 415)


def health_words(rig, agent):
    agent.put("/v1/agent/service/register", {"Name": "hw", "Check": {"CheckID": "hw", "TTL": "1h"}})
    for word, status, route in (("passing", 200, "pass"), ("warning", 429, "warn"), ("critical", 503, "fail")):
        agent.put(f"/v1/agent/check/{route}/hw")
        for path in ("id/hw", "name/hw"):
            got = agent.get(f"/v1/agent/health/service/{path}?format=text")[:2]
            rig.equal(f"health: {path} {word}", got, (status, word))
    agent.put("/v1/agent/check/pass/hw")
    agent.put("/v1/agent/maintenance?enable=true")
    rig.equal("health: node maintenance", agent.get("/v1/agent/health/service/id/hw?format=text")[:2],
              (503, "maintenance"))
    agent.put("/v1/agent/maintenance?enable=false")
    rig.equal("health: unknown", agent.get("/v1/agent/health/service/id/nobody")[0], 404)


def real_cli(rig, disk):
    """A real Consul's command line."""
    agent = disk.agent
    definition = rig.dir / "cli.hcl"
    definition.write_text('service { name = "cli" port = 7 check { id = "cli" ttl = "1h" } }')
    for words, code, text in (
            (["services", "register", definition], 0, "Registered service: cli"),
            (["maint", "-enable", "-service=cli", "-reason=busy"], 0, "is now enabled"),
            (["maint"], 0, "busy"),
            (["maint", "-disable", "-service=cli"], 0, "is now disabled"),
            (["maint", "-enable"], 0, "Node maintenance is now enabled"),
            (["maint", "-disable"], 0, "Node maintenance is now disabled"),
            (["members"], 0, "alive"),
            (["members", "-wan"], 0, "n1.dc1"),
            (["info"], 0, "check_ttls"),
            (["reload"], 0, "Configuration reload triggered"),
            (["join", f"127.0.0.1:{disk.serf}"], 0, "Successfully joined cluster by contacting 1 nodes."),
            (["force-leave", "nobody"], 1, "No node found with name 'nobody'"),
            (["services", "deregister", "-id=cli"], 0, "Deregistered service: cli")):
        got, out, err = agent.cli(*words, binary=REAL_CONSUL)
        rig.check(f"cli: {' '.join(str(w) for w in words)}", got == code and text in out + err, (got, out, err))
    monitor = rig.start("monitor", [REAL_CONSUL, "monitor", "-log-level=info", "-log-json"], env=agent.env)

    def heard():
        agent.put("/v1/agent/service/register", {"Name": "heard"})
        agent.put("/v1/agent/service/deregister/heard")
        return any("Synced service" in line for line in rig.log("monitor").splitlines())
    wait_for("a line of the monitor", heard, 20)
    rig.check("cli: monitor hears the log", True)
    monitor.send_signal(signal.SIGINT)
    with urllib.request.urlopen(agent.url + "/v1/agent/monitor?loglevel=info&logjson", timeout=20) as lines:
        agent.put("/v1/agent/service/register", {"Name": "heard"})
        line = json.loads(lines.readline())
    rig.check("monitor: lines may be objects", {"@level", "@message", "@module", "@timestamp"} <= set(line), line)
    got, out, err = agent.cli("leave", binary=REAL_CONSUL)
    rig.check("cli: leave", got == 0 and "Graceful leave complete" in out, (got, out, err))
    rig.equal("cli: the agent has ended", agent.process.wait(10), 0)


def main(rig):
    rig.check("a real Consul 1.8.7 is at hand", REAL_CONSUL.exists(), str(REAL_CONSUL))
    web = serve(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)).server_address[1]
    docker_socket = rig.dir / "docker.sock"
    serve(UnixServer(str(docker_socket), Docker))
    (rig.dir / "path").mkdir()
    (rig.dir / "path/systemctl").write_text(SYSTEMCTL)
    (rig.dir / "path/systemctl").chmod(0o755)
    server, plain, secure = grpc_servers(rig)
    # A proxy of the environment must not come between an agent and what it checks.
    env = {"DOCKER_HOST": f"unix://{docker_socket}", "PATH": f"{rig.dir}/path:{os.environ['PATH']}",
           "HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1"}
    disk = Disk(rig, "disk", {"enable_script_checks": True, "telemetry": {"prometheus_retention_time": "60s"}}, env)
    other = Disk(rig, "tampered", {})
    undone = tamper(rig, other.agent)
    kinds(rig, disk.agent, web, secure, plain, docker_socket)
    server.stop(None)
    persistence(rig, disk)
    local, files = scripts(rig)
    rig.closed = local
    reload(rig, local, files)
    health_words(rig, local)
    disk.agent.put("/v1/agent/check/register", {"Name": "own", "TCP": f"127.0.0.1:{disk.http}", "Interval": "1s"})
    settled(disk.agent, "own", "passing")
    routes(rig, disk)
    real_cli(rig, disk)
    undone()


with Rig() as rig:
    main(rig)
