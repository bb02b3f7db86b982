"""openssl's client at a sidecar's public port: refused without a certificate, with one of another trust domain, and
with one of a service that no intention lets in; answered with the right one."""
import http.server
import pathlib
import re
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from rig import Rig, wait_for


class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


def s_client(rig, port, certificate=None, key=None, ca=None):
    """What openssl got back for one HTTP request (empty when the connection was refused)."""
    argv = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "db", "-quiet", "-ign_eof", "-tls1_3"]
    if certificate:
        argv += ["-cert", certificate, "-key", key]
    if ca:
        argv += ["-CAfile", ca, "-verify_return_error"]
    request = b"GET / HTTP/1.1\r\nHost: db\r\nConnection: close\r\n\r\n"
    done = subprocess.run([str(a) for a in argv], input=request, capture_output=True, timeout=15, cwd=rig.dir)
    return done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def leaf(rig, agent, service):
    _, answer, _ = agent.get(f"/v1/agent/connect/ca/leaf/{service}")
    certificate, key = rig.dir / f"{agent.http}-{service}.pem", rig.dir / f"{agent.http}-{service}.key"
    certificate.write_text(answer["CertPEM"])
    key.write_text(answer["PrivateKeyPEM"])
    return certificate, key, answer


def main(rig):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    agent, stranger = rig.agent(), rig.agent("stranger")
    agent.put("/v1/config", {"Kind": "service-defaults", "Name": "db", "Protocol": "http"})
    agent.put("/v1/agent/service/register",
              {"Name": "db", "Port": server.server_address[1], "Connect": {"SidecarService": {}}})
    agent.cli("intention", "create", "-deny", "*", "db")
    agent.cli("intention", "create", "-allow", "web", "db")
    _, services, _ = agent.get("/v1/agent/services")
    port = services["db-sidecar-proxy"]["Port"]
    rig.start("sidecar", [rig.consul, "connect", "proxy", "-sidecar-for", "db"], env=agent.env)

    _, roots, _ = agent.get("/v1/agent/connect/ca/roots")
    ca = rig.dir / "ca.pem"
    ca.write_text(roots["Roots"][0]["RootCert"])
    web, web_key, answer = leaf(rig, agent, "web")
    text = subprocess.run(["openssl", "x509", "-in", str(web), "-noout", "-text"], capture_output=True, text=True).stdout
    rig.check("the leaf carries its SPIFFE id as its only name", f"URI:{answer['ServiceURI']}" in text, text)
    verified = subprocess.run(["openssl", "verify", "-CAfile", str(ca), str(web)], capture_output=True, text=True)
    rig.check("openssl verifies the leaf against the root", verified.returncode == 0, verified.stderr)

    wait_for("the sidecar to listen", lambda: "200" in s_client(rig, port, web, web_key, ca)[0], 20)
    rig.check("the right certificate is answered", "HTTP/1.1 200" in s_client(rig, port, web, web_key, ca)[0])

    out, err = s_client(rig, port)
    rig.check("no certificate: the handshake is refused", "HTTP/" not in out and re.search("alert", err), (out, err))
    other, other_key, _ = leaf(rig, stranger, "web")
    out, err = s_client(rig, port, other, other_key)
    rig.check("a certificate of another trust domain: refused", "HTTP/" not in out and re.search("alert", err), (out, err))
    api, api_key, _ = leaf(rig, agent, "api")
    out, err = s_client(rig, port, api, api_key)
    rig.check("a certificate of a service without an allow: 403 with the intention",
              "HTTP/1.1 403" in out and "DENY default/* => default/db" in out, (out, err))
    # A proxy that resumes a session must not be judged by what it was when it first came.
    agent.cli("intention", "create", "-deny", "-replace", "web", "db")
    rig.check("turned to deny: the same certificate is refused",
              wait_for("the deny", lambda: "HTTP/1.1 403" in s_client(rig, port, web, web_key, ca)[0], 5))


with Rig() as rig:
    main(rig)
