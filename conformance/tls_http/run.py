"""The agent's own ports as a configuration tells them to be served, judged by openssl, curl and a real Consul.

Certificates made by `tls` beside those a real Consul makes; each program's agent with the other's certificates; client
certificates, versions, suites and reloads of the HTTPS port; sockets in the file system; http_config and limits.
"""
import pathlib
import re
import signal
import socket
import stat
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from rig import REAL_CONSUL, Rig, end, fetch, free_ports, wait_for

STEPS = [
    ["ca", "create"],
    ["ca", "create"],
    ["ca", "create", "-domain", "example", "-days", "10", "-name-constraint", "-additional-name-constraint", "more.org"],
    ["cert", "create", "-server", "-additional-dnsname", "web.example", "-additional-ipaddress", "10.1.2.3"],
    ["cert", "create", "-server", "-node", "n1", "-dc", "dc2", "-days", "5"],
    ["cert", "create", "-client"],
    ["cert", "create", "-client"],
    ["cert", "create", "-cli"],
    ["cert", "create", "-server", "-domain", "example"],
    ["cert", "create"],
    ["cert", "create", "-client", "-cli"],
    ["cert", "create", "-client", "-node", "n1"],
    ["cert", "create", "-cli", "-ca", "none.pem"],
    ["cert", "create", "-cli", "-key", "none.pem"],
]


def certificates(rig):
    """The same words for both programs, each in a folder of its own."""
    folders = {}
    said = {}
    for name, program in (("ours", rig.consul), ("real", REAL_CONSUL)):
        folder = folders[name] = rig.dir / f"certificates-{name}"
        folder.mkdir()
        said[name] = []
        for step in STEPS:
            done = subprocess.run([program, "tls", *step], capture_output=True, text=True, cwd=folder, timeout=30)
            said[name].append((step, done.returncode, done.stdout, done.stderr))
    for ours, real in zip(said["ours"], said["real"]):
        rig.equal(f"tls {' '.join(ours[0])}", ours[1:], real[1:])
    files = {name: sorted(path.name for path in folder.iterdir()) for name, folder in folders.items()}
    rig.equal("the same files", files["ours"], files["real"])
    for file in files["real"]:
        if not file.endswith("-key.pem"):
            rig.equal(f"{file} says the same", meaning(folders["ours"] / file), meaning(folders["real"] / file))
    ours = folders["ours"]
    for leaf, ca, purpose in [("dc1-server-consul-0.pem", "consul", "sslserver"), ("dc1-server-consul-0.pem", "consul", "sslclient"),
                              ("dc1-client-consul-0.pem", "consul", "sslclient"), ("dc1-cli-consul-0.pem", "consul", "sslclient"),
                              ("dc1-server-example-0.pem", "example", "sslserver")]:
        verified = openssl("verify", "-purpose", purpose, "-CAfile", ours / f"{ca}-agent-ca.pem", ours / leaf)
        rig.check(f"openssl verifies {leaf} as {purpose}", verified.returncode == 0, verified.stderr)
    mode = stat.S_IMODE((ours / "consul-agent-ca-key.pem").stat().st_mode)
    rig.equal("keys are for their owner only", oct(mode), "0o600")
    # An authority with constraints cannot sign for others.
    subprocess.run([rig.consul, "tls", "cert", "create", "-server", "-domain", "consul", "-ca", "example-agent-ca.pem",
                    "-key", "example-agent-ca-key.pem", "-dc", "elsewhere"], cwd=ours, check=True, capture_output=True)
    verified = openssl("verify", "-CAfile", ours / "example-agent-ca.pem", ours / "elsewhere-server-consul-0.pem")
    rig.check("a name constraint binds", verified.returncode != 0 and "permitted subtree" in verified.stderr, verified.stderr)
    return folders


def openssl(*argv):
    return subprocess.run(["openssl", *map(str, argv)], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)


def meaning(certificate):
    """openssl's reading of a certificate without what differs from one to the next (keys, serial, times, the CA's name),
    and without the order of extensions and purposes, which means nothing."""
    text = openssl("x509", "-in", certificate, "-noout", "-text", "-nameopt", "RFC2253").stdout
    days = []
    for when in re.findall(r"Not (?:Before|After) ?: (.*)", text):
        days.append(int(subprocess.run(["date", "-d", when, "+%s"], capture_output=True, text=True, check=True).stdout))
    kept = [line.strip() for line in text.splitlines()
            if not re.match(r"^\s*([0-9A-Fa-f]{2}:)+|^\s*(Issuer|Not Before|Not After ?):?|^\s*Subject: .*Agent CA", line)]
    first = kept.index("X509v3 extensions:")
    extensions = re.split(r"\n(?=X509v3)", "\n".join(kept[first + 1:kept.index("Signature Algorithm: ecdsa-with-SHA256", first)]))
    extensions = [", ".join(sorted(e.split(", "))) if "Web" in e else e for e in (e.replace("Usage:\n", "Usage, ") for e in extensions)]
    return [(days[1] - days[0]) // 86400, *kept[:first], *sorted(extensions)]


def hcl(path, **settings):
    path.write_text("\n".join(f"{key} = {value}" for key, value in settings.items()) + "\n")
    return path


def tls_files(folder, leaf):
    return {"ca_file": f'"{folder}/consul-agent-ca.pem"', "cert_file": f'"{folder}/{leaf}.pem"',
            "key_file": f'"{folder}/{leaf}-key.pem"'}


def serve(rig, name, program, config):
    http, https, server, lan, wan = free_ports(5)
    process = rig.start(name, [program, "agent", "-dev", f"-http-port={http}", f"-https-port={https}", "-dns-port=-1", "-grpc-port=-1",
                               f"-server-port={server}", f"-serf-lan-port={lan}", f"-serf-wan-port={wan}", f"-config-file={config}"])
    wait_for(f"{name} to answer", lambda: fetch(f"http://127.0.0.1:{http}/v1/status/leader")[1], 20)
    return process, http, https


def curl(https, folder, *more, path="/v1/status/leader", ca="consul-agent-ca.pem"):
    done = subprocess.run(["curl", "-sS", "--max-time", "10", "--cacert", str(folder / ca), *map(str, more),
                           f"https://localhost:{https}{path}"], capture_output=True, text=True, timeout=20)
    return done.returncode, done.stdout, done.stderr


def client(folder, leaf="dc1-cli-consul-0"):
    return ["--cert", folder / f"{leaf}.pem", "--key", folder / f"{leaf}-key.pem"]


def cli(rig, program, https, folder, *words, leaf="dc1-cli-consul-0"):
    env = {"CONSUL_HTTP_ADDR": f"https://localhost:{https}", "CONSUL_CACERT": str(folder / "consul-agent-ca.pem"),
           "CONSUL_CLIENT_CERT": str(folder / f"{leaf}.pem"), "CONSUL_CLIENT_KEY": str(folder / f"{leaf}-key.pem")}
    return rig.run([program, *words], env=env)


def across(rig, folders):
    """Each program's agent with the other's certificates, asked by both command lines."""
    for agent, program, made_by in [("ours", rig.consul, "real"), ("real", REAL_CONSUL, "ours"), ("ours-own", rig.consul, "ours")]:
        folder = folders[made_by]
        config = hcl(rig.dir / f"{agent}.hcl", verify_incoming="true", **tls_files(folder, "dc1-server-consul-0"))
        process, _, https = serve(rig, f"agent-{agent}", program, config)
        for name, asking in (("ours", rig.consul), ("real", REAL_CONSUL)):
            code, out, error = cli(rig, asking, https, folder, "catalog", "datacenters")
            rig.check(f"{name} command line over TLS with certificates of {made_by} at agent {agent}", (code, out) == (0, "dc1\n"),
                      f"{code} {out} {error}")
        bare = curl(https, folder)
        rig.check(f"agent {agent}: no client certificate, no answer", bare[0] != 0 and not bare[1], bare)
        rig.check(f"agent {agent}: curl with a certificate", "127.0.0.1" in curl(https, folder, *client(folder))[1])
        end(process)


def s_client(https, *more):
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{https}", *more], input="", capture_output=True, text=True, timeout=20)
    return done.stdout + done.stderr


def versions(rig, folders):
    folder = folders["ours"]
    config = hcl(rig.dir / "versions.hcl", **tls_files(folder, "dc1-server-consul-0"),
                 tls_cipher_suites='"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"')
    process, http, https = serve(rig, "versions", rig.consul, config)
    for version, wanted in (("-tls1_2", "ECDHE-ECDSA-AES256-GCM-SHA384"), ("-tls1_3", "TLS_A")):
        text = s_client(https, version)
        rig.check(f"{version} is spoken with the suites that were named", re.search(rf"Cipher is {wanted}", text), text[-300:])
    refused = s_client(https, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")
    rig.check("no other suite is", "handshake failure" in refused, refused[-300:])
    rig.check("-tls1_1 is refused", "Cipher is (NONE)" in s_client(https, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"))
    rig.check("HTTP/2 by ALPN", "ALPN protocol: h2" in s_client(https, "-alpn", "h2"))
    rig.check("another authority does not know it", curl(https, folders["real"])[0] == 60)
    with socket.create_connection(("127.0.0.1", https)) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = plain.makefile("rb").read()
    rig.check("plain HTTP is told so", answer.startswith(b"HTTP/1.0 400") and b"HTTP request to an HTTPS server" in answer, answer)
    end(process)
    config = hcl(rig.dir / "new.hcl", tls=f'{{ https {{ tls_min_version = "TLSv1_3", cert_file = "{folder}/dc1-server-consul-0.pem", '
                 f'key_file = "{folder}/dc1-server-consul-0-key.pem" }} }}')
    process, http, https = serve(rig, "only-1.3", rig.consul, config)
    rig.check("tls_min_version = TLSv1_3 refuses 1.2", "Cipher is (NONE)" in s_client(https, "-tls1_2"))
    rig.check("and speaks 1.3", "Cipher is TLS_" in s_client(https, "-tls1_3"))
    end(process)


def reload(rig, folders):
    ours, live = folders["ours"], rig.dir / "live"
    live.mkdir()

    def put(leaf):
        for suffix in (".pem", "-key.pem"):
            (live / f"live{suffix}").write_bytes((ours / f"{leaf}{suffix}").read_bytes())

    put("dc1-server-consul-0")
    config = hcl(rig.dir / "reload.hcl", cert_file=f'"{live}/live.pem"', key_file=f'"{live}/live-key.pem"')
    process, http, https = serve(rig, "reload", rig.consul, config)

    def subject():
        return re.search(r"subject=.*", s_client(https)).group(0)

    before = subject()
    put("dc2-server-consul-0")
    process.send_signal(signal.SIGHUP)
    wait_for("the new certificate", lambda: "server.dc2.consul" in subject(), 10)
    rig.check("SIGHUP brings a new certificate", "server.dc1.consul" in before)
    (live / "live.pem").write_text("nonsense")
    process.send_signal(signal.SIGHUP)
    wait_for("the complaint", lambda: "the old configuration stays" in rig.log("reload"), 10)
    rig.check("a broken file leaves the old one", "server.dc2.consul" in subject() and "live.pem" in rig.log("reload"))
    end(process)
    config = hcl(rig.dir / "broken.hcl", cert_file='"none.pem"', key_file='"none.pem"', ports="{ https = 1 }")
    code, _, error = rig.run([rig.consul, "agent", "-dev", "-http-port=-1", "-dns-port=-1", f"-config-file={config}"])
    rig.check("HTTPS without its files does not start, and says which", code == 1 and "none.pem" in error, error)


def rules(rig):
    path = rig.dir / "api.sock"
    config = rig.dir / "rules.hcl"
    config.write_text(f'''
http_config {{
  block_endpoints = ["/v1/acl", "/v1/agent/leave"]
  allow_write_http_from = ["10.0.0.0/8"]
  response_headers {{ "X-Mark" = "hello" "Access-Control-Allow-Origin" = "*" }}
}}
limits {{ http_max_conns_per_client = 4 }}
addresses {{ http = "127.0.0.1 unix://{path}" }}
unix_sockets {{ mode = "0640" }}
leave_on_terminate = true
default_query_time = "1s"
log_file = "{rig.dir}/written/"
''')
    for name, program in (("ours", rig.consul), ("real", REAL_CONSUL)):
        process, http, _ = serve_plain(rig, f"rules-{name}", program, config)
        url = f"http://127.0.0.1:{http}"
        status, text, headers = fetch(url + "/v1/acl/tokens")
        rig.equal(f"{name}: a blocked endpoint", (status, text, headers["X-Mark"]), (403, "Endpoint is blocked by agent configuration", "hello"))
        status, text, headers = fetch(url + "/v1/kv/a", "PUT", b"1")
        rig.equal(f"{name}: a write from elsewhere", (status, text), (403, "Access is restricted"))
        status, _, headers = fetch(url + "/v1/catalog/nodes")
        rig.equal(f"{name}: a read, with the headers", (status, headers["X-Mark"], headers["Access-Control-Allow-Origin"]), (200, "hello", "*"))
        status, _, headers = fetch(url + "/v1/nothing")
        rig.equal(f"{name}: no route, no headers", (status, headers["X-Mark"]), (404, None))
        rig.equal(f"{name}: the socket's mode", oct(stat.S_IMODE(path.stat().st_mode)), "0o640")
        env = {"CONSUL_HTTP_ADDR": f"unix://{path}"}
        rig.equal(f"{name}: the real command line over the socket", rig.run([REAL_CONSUL, "catalog", "datacenters"], env=env)[:2], (0, "dc1\n"))
        rig.check(f"{name}: at most four connections", crowd(http) == 4)
        # Connections count until the server has seen that they are closed.
        wait_for("room for one more", lambda: crowd(http, 1), 10)
        index = int(fetch(url + "/v1/catalog/nodes")[2]["X-Consul-Index"])
        fetch(url + f"/v1/catalog/nodes?index={index}", timeout=5)
        rig.check(f"{name}: a query waits as long as default_query_time", fetch(url + f"/v1/catalog/nodes?index={index}", timeout=5)[0] == 200)
        process.send_signal(signal.SIGTERM)
        rig.equal(f"{name}: leave_on_terminate ends with", process.wait(20), 0)
        rig.check(f"{name}: the socket is gone", not path.exists())
        rig.check(f"{name}: the log's file", any(file.name.startswith("consul") for file in (rig.dir / "written").iterdir()))
    process, _, _ = serve_plain(rig, "interrupted", rig.consul, config)
    process.send_signal(signal.SIGINT)
    rig.equal("an agent that does not leave ends with", process.wait(20), 1)


def serve_plain(rig, name, program, config):
    http, server, lan, wan = free_ports(4)
    process = rig.start(name, [program, "agent", "-dev", f"-http-port={http}", "-dns-port=-1", "-grpc-port=-1", f"-server-port={server}",
                               f"-serf-lan-port={lan}", f"-serf-wan-port={wan}", f"-config-file={config}"])
    wait_for(f"{name} to answer", lambda: fetch(f"http://127.0.0.1:{http}/v1/catalog/nodes")[1], 20)
    return process, http, None


def crowd(port, wanted=8):
    """How many of several connections of one client are answered."""
    sockets = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(wanted)]
    answered = 0
    try:
        for one in sockets:
            one.settimeout(5)
            try:
                one.sendall(b"GET /v1/status/leader HTTP/1.1\r\nHost: a\r\n\r\n")
                answered += one.recv(12) == b"HTTP/1.1 200"
            except OSError:
                pass
    finally:
        for one in sockets:
            one.close()
    return answered


def one_server(rig):
    """A cluster's file on one server: what it cannot do is said, and it starts."""
    http, dns = free_ports(2)
    config = hcl(rig.dir / "server.hcl", server="true", bootstrap_expect="3", retry_join='["10.255.255.1"]',
                 bind_addr='"127.0.0.1"', encrypt='"pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="',
                 performance="{ raft_multiplier = 1 }", node_name='"one"')
    process = rig.start("server", [rig.consul, "agent", f"-data-dir={rig.dir}/data", f"-config-file={config}", f"-http-port={http}",
                                   f"-dns-port={dns}", "-client={{ GetAllInterfaces | include \"name\" \"^lo$\" | join \"address\" \" \" }}"])
    wait_for("the server", lambda: fetch(f"http://127.0.0.1:{http}/v1/status/leader")[1], 20)
    wait_for("the log", lambda: "Started HTTP server" in rig.log("server"), 10)
    log = rig.log("server")
    for words in ("nobody is waited for", "nobody is joined (10.255.255.1)", "encrypt has no effect", "raft_multiplier has no effect"):
        rig.check(f"the log says: {words}", words in log)
    _, about, _ = fetch(f"http://127.0.0.1:{http}/v1/agent/self")
    debug = about["DebugConfig"]
    rig.equal("agent/self tells it, and no secret", (debug["BootstrapExpect"], debug["EncryptKey"], debug["RetryJoinLAN"], about["Member"]["Name"]),
              (3, "hidden", ["10.255.255.1"], "one"))
    end(process)


with Rig() as rig:
    folders = certificates(rig)
    across(rig, folders)
    versions(rig, folders)
    reload(rig, folders)
    rules(rig)
    one_server(rig)
