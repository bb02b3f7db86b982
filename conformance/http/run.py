"""curl and a WebSocket library through an upstream: methods, bodies, headers, trailing edge cases, TCP, and what a user
reads when there is nobody to answer."""
import asyncio
import http.server
import pathlib
import socket
import socketserver
import sys
import threading

import websockets

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from rig import Rig, fetch, free_ports, wait_for


class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status = int(self.path.removeprefix("/status/")) if self.path.startswith("/status/") else 200
        reply = f"{self.command} {self.path} {len(body)}\n".encode() + "".join(
            f"{k.lower()}: {v}\n" for k, v in self.headers.items()).encode()
        self.send_response(status)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        if self.command != "HEAD" and status not in (204, 304):
            self.wfile.write(reply)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = answer

    def log_message(self, *_):
        pass


class Greeter(socketserver.BaseRequestHandler):
    """A server that speaks first, then echoes until the client closes its half."""

    def handle(self):
        self.request.sendall(b"220 ready\r\n")
        while data := self.request.recv(65536):
            self.request.sendall(data)
        self.request.sendall(b"bye\r\n")


def serve(server):
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


async def echo(socket_):
    async for message in socket_:
        await socket_.send(message)


def websocket_app():
    started, port = threading.Event(), []

    async def run():
        async with websockets.serve(echo, "127.0.0.1", 0) as server:
            port.append(server.sockets[0].getsockname()[1])
            started.set()
            await asyncio.Future()

    threading.Thread(target=lambda: asyncio.run(run()), daemon=True).start()
    started.wait(10)
    return port[0]


async def websocket_round(port):
    async with websockets.connect(f"ws://127.0.0.1:{port}/chat") as connection:
        await connection.send("hello")
        text = await connection.recv()
        await connection.send(b"\0" * 100_000)
        return text, len(await connection.recv())


def main(rig):
    agent = rig.agent()
    ports = dict(zip(("web", "chat", "greeter", "nobody"), free_ports(4)))
    apps = {"web": serve(http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)), "chat": websocket_app(),
            "greeter": serve(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeter))}
    for name in ("web", "chat", "nobody"):
        agent.put("/v1/config", {"Kind": "service-defaults", "Name": name, "Protocol": "http"})
    for name, port in apps.items():
        agent.put("/v1/agent/service/register", {"Name": name, "Port": port, "Connect": {"SidecarService": {}}})
    agent.put("/v1/agent/service/register", {"Name": "client", "Port": 1, "Connect": {"SidecarService": {"Proxy": {
        "Upstreams": [{"DestinationName": n, "LocalBindPort": p} for n, p in ports.items()]}}}})
    for name in (*apps, "client"):
        rig.start(name, [rig.consul, "connect", "proxy", "-sidecar-for", name], env=agent.env)
    url = f"http://127.0.0.1:{ports['web']}"
    wait_for("the first call", lambda: fetch(url)[0] == 200, 30)

    def curl(*args):
        return rig.run(["curl", "-sS", "-m", "10", *args])

    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        _, out, err = curl("-X", method, f"{url}/x?y=1")
        rig.check(f"{method} reaches the application", out.startswith(f"{method} /x?y=1 "), out + err)
    _, out, _ = curl("-I", f"{url}/head")
    rig.check("HEAD has headers and no body", "200" in out.splitlines()[0] and "content-length" in out.lower(), out)
    (rig.dir / "big").write_bytes(bytes(5 << 20))
    _, out, _ = curl("--data-binary", "@big", f"{url}/big")
    rig.check("a body of 5 MiB", out.startswith(f"POST /big {5 << 20}\n"), out[:100])
    _, out, _ = curl("-H", "Transfer-Encoding: chunked", "--data-binary", "@big", f"{url}/chunked")
    rig.check("the same in chunks", out.startswith(f"POST /chunked {5 << 20}\n"), out[:100])
    for status in (204, 304, 404, 503):
        _, out, _ = curl("-o", "/dev/null", "-w", "%{http_code}", f"{url}/status/{status}")
        rig.equal(f"the application's {status} passes", out, str(status))
    _, out, _ = curl("-H", "Connection: x-secret", "-H", "x-secret: 1", "-H", "x-kept: 1", "-H", "TE: gzip",
                     "-H", "x-meshglass-source: forged;n;z;v", url)
    rig.check("hop-by-hop headers and the mesh's own end at the proxy",
              "x-kept: 1" in out and "x-secret" not in out and "x-meshglass-source" not in out, out)
    rig.check("every request has an x-request-id", "x-request-id: " in out, out)
    _, out, _ = curl("--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", url)
    rig.equal("HTTP/2 without TLS on the local port", out, "2 200")
    rig.equal("WebSocket, text and 100 kB binary", asyncio.run(websocket_round(ports["chat"])), ("hello", 100_000))

    with socket.create_connection(("127.0.0.1", ports["greeter"]), 10) as tcp:
        stream = tcp.makefile("rb")
        rig.equal("TCP where the server speaks first", stream.readline(), b"220 ready\r\n")
        tcp.sendall(b"echo\n")
        rig.equal("TCP echoes", stream.readline(), b"echo\n")
        tcp.shutdown(socket.SHUT_WR)
        rig.equal("TCP half-close lets the answer through", stream.read(), b"bye\r\n")

    status, body, headers = fetch(f"http://127.0.0.1:{ports['nobody']}/")
    rig.check("nobody to answer: 503 that says so in body and header",
              status == 503 and "nobody" in str(body) and headers.get("x-meshglass-why"), (status, body, dict(headers)))


with Rig() as rig:
    main(rig)
