"""Meshglass's own sidecars, each from a plan file: no control plane. Variants: (none); log: a JSON access log."""
import json, os

MODES = {"http1", "h2", "tcp"}
# No switch turns off session resumption or the reuse of upstream connections.
SKIP = {"s4"}
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROTOCOL = {"http1": "http", "h2": "grpc", "tcp": "tcp"}


def prepare(binary, install):
    global BIN
    BIN = binary or os.environ.get("MESHGLASS_BIN") or f"{ROOT}/target/release/meshglass"
    return None if os.access(BIN, os.X_OK) else f"no {BIN} (cargo build --release)"


def plan(c, certificate, service, identity):
    recording = {"flush_interval": "0s"}
    if c.variant == "log":
        recording["access_log"] = {"sink": {"file": f"{c.dir}/{c.role}.access.log"}}
    return {
        "plan": {
            "proxy": {"id": f"{service}-sidecar-proxy", "service": service, "service_id": f"{service}-1",
                      "node": "bench", "datacenter": "dc1"},
            "identity": identity,
            "recording": recording,
        },
        "certificates": {"roots_file": f"{c.certs}/ca.pem", "cert_file": f"{c.certs}/{certificate}.pem",
                         "key_file": f"{c.certs}/{certificate}.key"},
    }


def start(c, file):
    path = f"{c.dir}/{c.role}.plan.json"
    with open(path, "w") as out:
        json.dump(file, out, indent=1)
    if c.workers != 1:
        raise SystemExit("meshglass: `connect proxy` runs one worker")
    return [c.spawn([c.binary or BIN, "connect", "proxy", "-plan-file", path], "meshglass-" + c.role)]


def start_inbound(c):
    service = c.server_uri.rsplit("/", 1)[1]
    file = plan(c, "server", service, c.server_uri)
    file["plan"]["inbound"] = [{
        "name": "public_listener", "bind": "127.0.0.1", "port": c.listen, "protocol": PROTOCOL[c.mode],
        "application": f"127.0.0.1:{c.upstream}",
        "rules": [{"source": {"service": c.client_uri.rsplit("/", 1)[1]}, "action": "allow", "intention": "ALLOW"}],
        "default": {"action": "deny", "reason": "deny all"},
        "connect_timeout": "5s", "request_timeout": "0s", "idle_timeout": "0s",
    }]
    return start(c, file)


def start_outbound(c):
    service, upstream = c.client_uri.rsplit("/", 1)[1], c.server_uri.rsplit("/", 1)[1]
    target = f"{upstream}.default.dc1"
    file = plan(c, "client", service, c.client_uri)
    file["plan"]["outbound"] = [{
        "name": upstream, "bind": "127.0.0.1", "port": c.listen, "protocol": PROTOCOL[c.mode],
        "routes": [{"name": upstream, "targets": [{"target": target, "weight": 1}], "timeout": "0s",
                    "retry": {"attempts": 1, "on_connect_failure": True}}],
    }]
    file["plan"]["targets"] = {target: {
        "id": target, "service": upstream, "namespace": "default", "datacenter": "dc1", "protocol": PROTOCOL[c.mode],
        "identity": c.server_uri, "sni": c.server_dns, "connect_timeout": "5s", "max_concurrent_requests": 100000,
        "max_connections": 100000, "max_pending_requests": 100000,
    }}
    file["endpoints"] = {target: [{"address": f"127.0.0.1:{c.upstream}", "instance": f"{upstream}-1"}]}
    return start(c, file)
