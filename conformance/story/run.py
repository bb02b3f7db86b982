"""The talk's own story, typed as its slides have it, through the name `consul`."""
import http.server
import pathlib
import re
import socket
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from rig import Rig, fetch, free_ports, wait_for


class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"{self.server.name} answers {self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def app(name):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
    server.name = name
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def main(rig):
    statsd = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    statsd.bind(("127.0.0.1", 0))
    statsd.settimeout(15)
    agent = rig.agent()
    facebox, cache, api = app("facebox"), app("cache"), app("api")
    (facebox_port, cache_port) = free_ports(2)

    (rig.dir / "proxy-defaults.hcl").write_text(f'''
kind = "proxy-defaults"
name = "global"
config {{
  protocol = "http"
  envoy_dogstatsd_url = "udp://127.0.0.1:{statsd.getsockname()[1]}"
}}
''')
    code, out, err = agent.cli("config", "write", "proxy-defaults.hcl")
    rig.equal("config write says what it wrote", (code, out), (0, "Config entry written: proxy-defaults/global\n"))

    (rig.dir / "services.hcl").write_text(f'''
services {{
  name = "emojify-api"
  port = {api}
  connect {{
    sidecar_service {{
      proxy {{
        local_service_address = "127.0.0.1"
        local_service_port    = {api}
        upstreams {{
          destination_name = "emojify-facebox"
          local_bind_port  = {facebox_port}
        }}
        upstreams {{
          destination_name = "emojify-cache"
          local_bind_port  = {cache_port}
        }}
      }}
    }}
  }}
}}
services {{
  name = "emojify-facebox"
  port = {facebox}
  connect {{ sidecar_service {{}} }}
}}
services {{
  name = "emojify-cache"
  port = {cache}
  connect {{ sidecar_service {{}} }}
}}
''')
    code, out, err = agent.cli("services", "register", "services.hcl")
    rig.check("services register takes the services file", code == 0, err)
    _, services, _ = agent.get("/v1/agent/services")
    sidecar = services.get("emojify-api-sidecar-proxy", {})
    rig.equal("the sidecar gets its id and a port of 21000-21255", 21000 <= sidecar.get("Port", 0) <= 21255, True)
    _, merged, _ = agent.get("/v1/agent/service/emojify-api-sidecar-proxy")
    rig.check("proxy-defaults is merged into the sidecar",
              "envoy_dogstatsd_url" in merged.get("Proxy", {}).get("Config", {}), merged)

    for source, destination, action in [("*", "*", "deny"), ("emojify-api", "emojify-facebox", "allow")]:
        code, out, err = agent.cli("intention", "create", f"-{action}", source, destination)
        rig.equal(f"intention create -{action} {source} {destination}", (code, out),
                  (0, f"Created: {source} => {destination} ({action})\n"))
    code, out, _ = agent.cli("intention", "create", "-allow", "web", "db")
    rig.equal("intention create -allow web db", (code, out), (0, "Created: web => db (allow)\n"))
    code, _, err = agent.cli("intention", "create", "-allow", "web", "db")
    rig.check("a second one for the same pair is refused", code == 1 and "duplicate intention found" in err, err)
    rig.equal("intention check says Allowed", agent.cli("intention", "check", "web", "db")[:2], (0, "Allowed\n"))
    rig.equal("intention check says Denied", agent.cli("intention", "check", "db", "web")[:2], (1, "Denied\n"))

    code, _, err = agent.cli("connect", "proxy", "-sidecar-for", "nope")
    rig.check("an unknown service has no sidecar", code == 1 and "No sidecar proxy registered for nope" in err, err)
    for service in ("emojify-api", "emojify-facebox", "emojify-cache"):
        rig.start(service, [rig.consul, "connect", "proxy", "-sidecar-for", service], env=agent.env)

    def through(port, path="/"):
        return fetch(f"http://127.0.0.1:{port}{path}", timeout=5)

    wait_for("the allowed call", lambda: through(facebox_port, "/x")[0] == 200, 20)
    rig.equal("an allowed call is answered", through(facebox_port, "/x")[1], "facebox answers /x\n")
    wait_for("the denied call to reach the other side", lambda: through(cache_port)[0] == 403, 20)
    status, body, headers = through(cache_port)
    why = headers.get("x-meshglass-why") or ""
    rig.check("a denied call is a 403 that names the intention in body and header",
              status == 403 and "DENY default/* => default/*" in str(body) and "* => " in why, (status, body, why))
    agent.cli("intention", "create", "-allow", "emojify-api", "emojify-cache")
    rig.check("allowed now, answered now", wait_for("the allow", lambda: through(cache_port)[0] == 200, 5))

    # A connection that is open when the intention turns: the next request on it is refused.
    import http.client
    kept = http.client.HTTPConnection("127.0.0.1", facebox_port, timeout=5)
    kept.request("GET", "/kept")
    rig.equal("a kept connection works", (kept.getresponse().read(), 200)[1], 200)
    agent.cli("intention", "create", "-deny", "-replace", "emojify-api", "emojify-facebox")

    def refused():
        # What is on its way when the intention turns is cut off; the request after it is refused with the reason.
        try:
            kept.request("GET", "/kept")
            answer = kept.getresponse()
            answer.read()
            return answer.status == 403
        except (http.client.HTTPException, OSError):
            kept.close()
            return False

    rig.check("a deny reaches connections that are already open", wait_for("the refusal", refused, 5))

    # Every sidecar of this story sends here; the api's own line about its upstream is the one that is looked for.
    wanted = re.compile(r"envoy\.cluster\.upstream_rq_xx:\d+\|c\|#envoy\.response_code_class:2,"
                        r"local_cluster:emojify-api[^\n]*consul\.destination\.service:emojify-facebox")
    deadline, seen = time.monotonic() + 30, ""
    while time.monotonic() < deadline and not wanted.search(seen):
        seen += statsd.recv(65536).decode() + "\n"
    rig.check("DogStatsD carries Envoy's names with Consul's tags", bool(wanted.search(seen)), seen[-2000:])


with Rig() as rig:
    main(rig)
