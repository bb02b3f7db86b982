"""gRPC through the mesh with a client and a server that are not ours (grpcio): unary, the three kinds of streams, an error
status, a deadline, a cancel, a message of 3 MiB, and metadata both ways. No generated code: messages are raw bytes."""
import pathlib
import sys
import threading
import time
from concurrent import futures

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from rig import Rig, fetch, free_ports, wait_for

SERVICE = "emojify.Cache"
CANCELLED = threading.Event()


def unary(request, context):
    context.send_initial_metadata((("x-echo", dict(context.invocation_metadata()).get("x-say", "")),))
    context.set_trailing_metadata((("x-tail", "end"),))
    return request


def fail(request, context):
    context.abort(grpc.StatusCode.DATA_LOSS, "lost: it")


def slow(request, context):
    time.sleep(3)
    return request


def counting(request, context):
    for i in range(5):
        yield bytes([i])


def summing(requests, context):
    return bytes([sum(sum(r) for r in requests) % 256])


def chat(requests, context):
    for request in requests:
        yield request[::-1]


def endless(request, context):
    context.add_callback(CANCELLED.set)
    while context.is_active():
        yield b"x"
        time.sleep(0.02)


def server():
    method = lambda kind, function: getattr(grpc, f"{kind}_rpc_method_handler")(function)
    handlers = {
        "Get": method("unary_unary", unary), "Fail": method("unary_unary", fail), "Slow": method("unary_unary", slow),
        "Count": method("unary_stream", counting), "Sum": method("stream_unary", summing),
        "Chat": method("stream_stream", chat), "Endless": method("unary_stream", endless),
    }
    made = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", 8 << 20)])
    made.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = made.add_insecure_port("127.0.0.1:0")
    made.start()
    return made, port


def main(rig):
    app, app_port = server()
    agent = rig.agent()
    (local, metrics) = free_ports(2)
    for name in ("cache", "client"):
        agent.put("/v1/config", {"Kind": "service-defaults", "Name": name, "Protocol": "grpc"})
    agent.put("/v1/agent/service/register", {"Name": "cache", "Port": app_port, "Connect": {"SidecarService": {}}})
    agent.put("/v1/agent/service/register", {"Name": "client", "Port": 1, "Connect": {"SidecarService": {"Proxy": {
        "Config": {"envoy_prometheus_bind_addr": f"127.0.0.1:{metrics}"},
        "Upstreams": [{"DestinationName": "cache", "LocalBindPort": local}]}}}})
    for name in ("cache", "client"):
        rig.start(name, [rig.consul, "connect", "proxy", "-sidecar-for", name], env=agent.env)
    channel = grpc.insecure_channel(f"127.0.0.1:{local}", options=[("grpc.max_receive_message_length", 8 << 20)])
    call = lambda kind, name: getattr(channel, kind)(f"/{SERVICE}/{name}")

    def answered():
        try:
            return call("unary_unary", "Get")(b"hi", timeout=2) == b"hi"
        except grpc.RpcError:
            return False

    rig.check("unary", wait_for("the first call", answered, 30))
    reply, info = call("unary_unary", "Get").with_call(b"m", timeout=5, metadata=(("x-say", "hello"),))
    rig.equal("metadata goes both ways",
              (dict(info.initial_metadata()).get("x-echo"), dict(info.trailing_metadata()).get("x-tail")), ("hello", "end"))
    big = bytes(3 << 20)
    rig.check("a message of 3 MiB", call("unary_unary", "Get")(big, timeout=20) == big)
    rig.equal("server streaming", b"".join(call("unary_stream", "Count")(b"", timeout=5)), bytes(range(5)))
    rig.equal("client streaming", call("stream_unary", "Sum")(iter([b"\1", b"\2", b"\3"]), timeout=5), b"\6")
    rig.equal("both streaming", list(call("stream_stream", "Chat")(iter([b"ab", b"cd"]), timeout=5)), [b"ba", b"dc"])

    def status(name, timeout=5):
        try:
            call("unary_unary", name)(b"", timeout=timeout)
        except grpc.RpcError as error:
            return error.code(), error.details()
        return None

    rig.equal("an error status and its text", status("Fail"), (grpc.StatusCode.DATA_LOSS, "lost: it"))
    rig.equal("a deadline", (status("Slow", 0.3) or [None])[0], grpc.StatusCode.DEADLINE_EXCEEDED)
    rig.equal("an unknown method", (status("Nope") or [None])[0], grpc.StatusCode.UNIMPLEMENTED)
    stream = call("unary_stream", "Endless")(b"")
    next(stream)
    stream.cancel()
    rig.check("a cancel reaches the server", CANCELLED.wait(5))

    agent.cli("intention", "create", "-deny", "client", "cache")

    def refused():
        got = status("Get")
        return got if got and got[0] == grpc.StatusCode.PERMISSION_DENIED else None

    got = wait_for("the refusal", refused, 5)
    rig.check("a denied call is PERMISSION_DENIED with the intention", "DENY default/client => default/cache" in got[1], got)
    _, text, _ = fetch(f"http://127.0.0.1:{metrics}/metrics")
    rig.check("Prometheus has service, method and status as labels",
              any('grpc_service="emojify.Cache"' in line and 'grpc_method="Fail"' in line and 'grpc_status="15"' in line
                  for line in text.splitlines()), text[-1500:])
    channel.close()
    app.stop(0)


with Rig() as rig:
    main(rig)
