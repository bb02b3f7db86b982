acl {
  tokens {
    agent_recovery = "a"
    config_file_service_registration = "b"
    dns = "c"
    initial_management = "d"
  }
}
advertise_reconnect_timeout = "15m"
auto_reload_config = true
cloud {
  auth_url = "a"
  client_id = "b"
  client_secret = "c"
  hostname = "d"
  node_id = "e"
  node_name = "f"
  resource_id = "g"
  scada_address = "h"
}
connect { enable_serverless_plugin = false }
default_intention_policy = "allow"
dns_config { recursor_strategy = "random" prefer_namespace = false }
experiments = ["resource-apis"]
http_config { max_header_bytes = 16384 }
license_path = "/etc/consul.d/license.hclic"
limits {
  request_limits { mode = "permissive" read_rate = 1000.5 write_rate = 500 }
  rpc_client_timeout = "60s"
}
locality { region = "us-west-1" zone = "us-west-1a" }
log_sublevels { "agent.dns" = "trace" }
partition = "default"
peering { enabled = true }
performance { grpc_keepalive_interval = "30s" grpc_keepalive_timeout = "20s" }
ports { grpc_tls = 8503 }
raft_logstore {
  backend = "wal"
  disable_log_cache = false
  verification { enabled = true interval = "60s" }
  boltdb { no_freelist_sync = true }
  wal { segment_size_mb = 64 }
}
raft_prevote_disabled = false
read_replica = false
reporting { license { enabled = false } snapshot_retention_time = "9600h" }
rpc { enable_streaming = true }
telemetry { disable_per_tenancy_usage_metrics = true enable_host_metrics = true retry_failed_connection = true }
tls {
  defaults {
    ca_file = "ca.pem"
    ca_path = "ca"
    cert_file = "cert.pem"
    key_file = "key.pem"
    tls_cipher_suites = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    tls_min_version = "TLSv1_2"
    verify_incoming = true
    verify_outgoing = true
    verify_server_hostname = true
  }
  https { verify_incoming = false tls_min_version = "TLSv1_3" cert_file = "a" key_file = "b" ca_file = "c" }
  grpc { verify_incoming = false use_auto_cert = true }
  internal_rpc { verify_incoming = true verify_server_hostname = true }
}
ui_config {
  enabled = true
  content_path = "/ui/"
  dashboard_url_templates { service = "https://grafana/?s={{Service.Name}}" }
  metrics_provider = "prometheus"
  metrics_provider_files = []
  metrics_provider_options_json = "{}"
  metrics_proxy { base_url = "http://prometheus:9090" path_allowlist = ["/api/v1/query"] add_headers = [{ name = "a", value = "b" }] }
}
use_streaming_backend = true
xds { update_max_per_second = 250.5 }
