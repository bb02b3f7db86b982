acl {
  enabled = false
  default_policy = "allow"
  down_policy = "async-cache"
  policy_ttl = "30s"
  role_ttl = "30s"
  token_ttl = "30s"
  disabled_ttl = "120s"
  enable_key_list_policy = true
  enable_token_persistence = true
  enable_token_replication = true
  msp_disable_bootstrap = false
  tokens {
    agent = "a"
    agent_master = "b"
    default = "c"
    master = "d"
    replication = "e"
    managed_service_provider = [{ accessor_id = "f", secret_id = "g" }]
  }
}
acl_agent_master_token = "a"
acl_agent_token = "a"
acl_default_policy = "allow"
acl_down_policy = "deny"
acl_enable_key_list_policy = false
acl_master_token = "a"
acl_replication_token = "a"
acl_token = "a"
acl_ttl = "30s"
addresses { dns = "127.0.0.1" grpc = "127.0.0.1" http = "127.0.0.1" https = "127.0.0.1" }
advertise_addr = "10.0.0.1"
advertise_addr_ipv4 = "10.0.0.1"
advertise_addr_wan = "10.0.0.2"
advertise_addr_wan_ipv4 = "10.0.0.2"
alt_domain = "alt."
auto_encrypt { allow_tls = true dns_san = ["a"] ip_san = ["127.0.0.1"] tls = false }
autopilot {
  cleanup_dead_servers = true
  disable_upgrade_migration = true
  last_contact_threshold = "200ms"
  max_trailing_logs = 250
  min_quorum = 3
  redundancy_zone_tag = "zone"
  server_stabilization_time = "10s"
  upgrade_version_tag = "build"
}
bind_addr = "127.0.0.1"
bootstrap = false
bootstrap_expect = 3
cache { entry_fetch_max_burst = 2 entry_fetch_rate = 0.5 }
ca_file = "ca.pem"
ca_path = "ca"
cert_file = "cert.pem"
key_file = "key.pem"
check_output_max_size = 4096
check_update_interval = "5m"
client_addr = "127.0.0.1"
config_entries { bootstrap = [{ kind = "proxy-defaults", name = "global", config { protocol = "http" } }] }
connect {
  enabled = true
  ca_provider = "consul"
  ca_config { leaf_cert_ttl = "72h" }
  enable_mesh_gateway_wan_federation = false
}
data_dir = "/tmp/consul"
datacenter = "dc1"
default_query_time = "300s"
disable_anonymous_signature = true
disable_coordinates = false
disable_host_node_id = true
disable_http_unprintable_char_filter = false
disable_keyring_file = true
disable_remote_exec = true
disable_update_check = true
discard_check_output = false
discovery_max_stale = "0s"
dns_config {
  a_record_limit = 0
  allow_stale = true
  cache_max_age = "0s"
  disable_compression = false
  enable_additional_node_meta_txt = true
  enable_truncate = true
  max_stale = "87600h"
  node_ttl = "5s"
  only_passing = false
  recursor_timeout = "2s"
  service_ttl { "*" = "5s" web = "30s" }
  soa { expire = 86400 min_ttl = 0 refresh = 3600 retry = 600 }
  udp_answer_limit = 3
  use_cache = false
}
domain = "consul."
enable_acl_replication = false
enable_agent_tls_for_checks = true
enable_central_service_config = true
enable_debug = true
enable_local_script_checks = false
enable_script_checks = false
enable_syslog = false
encrypt = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="
encrypt_verify_incoming = true
encrypt_verify_outgoing = true
gossip_lan { gossip_interval = "200ms" gossip_nodes = 3 probe_interval = "1s" probe_timeout = "500ms" retransmit_mult = 4 suspicion_mult = 4 }
gossip_wan { gossip_interval = "500ms" gossip_nodes = 4 probe_interval = "5s" probe_timeout = "3s" retransmit_mult = 4 suspicion_mult = 6 }
http_config {
  allow_write_http_from = ["127.0.0.0/8"]
  block_endpoints = ["/v1/event/fire"]
  response_headers { "X-Frame-Options" = "DENY" }
  use_cache = true
}
leave_on_terminate = true
limits {
  http_max_conns_per_client = 200
  https_handshake_timeout = "5s"
  kv_max_value_size = 524288
  rpc_handshake_timeout = "5s"
  rpc_max_burst = 1000
  rpc_max_conns_per_client = 100
  rpc_rate = 100.5
  txn_max_req_len = 524288
}
log_file = "/tmp/consul.log"
log_json = true
log_level = "info"
log_rotate_bytes = 1000
log_rotate_duration = "24h"
log_rotate_max_files = 3
max_query_time = "600s"
node_id = "4e9bd8e4-9b3a-4b3c-8b0e-0b8a5d0e7b11"
node_meta { zone = "a" }
node_name = "node"
non_voting_server = false
performance { leave_drain_time = "5s" raft_multiplier = 1 rpc_hold_timeout = "7s" }
pid_file = "/tmp/consul.pid"
ports {
  dns = 8600
  expose_max_port = 21755
  expose_min_port = 21500
  grpc = 8502
  http = 8500
  https = 8501
  serf_lan = 8301
  serf_wan = 8302
  server = 8300
  sidecar_max_port = 21255
  sidecar_min_port = 21000
}
primary_datacenter = "dc1"
primary_gateways = []
primary_gateways_interval = "30s"
protocol = 2
raft_protocol = 3
raft_snapshot_interval = "30s"
raft_snapshot_threshold = 16384
raft_trailing_logs = 10240
reconnect_timeout = "72h"
reconnect_timeout_wan = "72h"
recursors = ["8.8.8.8"]
rejoin_after_leave = true
retry_interval = "30s"
retry_interval_wan = "30s"
retry_join = ["10.0.0.3", "provider=aws tag_key=consul tag_value=server"]
retry_join_wan = ["10.1.0.3"]
retry_max = 0
retry_max_wan = 0
serf_lan = "127.0.0.1"
serf_lan_allowed_cidrs = ["10.0.0.0/8"]
serf_wan = "127.0.0.1"
serf_wan_allowed_cidrs = ["10.0.0.0/8"]
server = true
server_name = "server.dc1.consul"
session_ttl_min = "10s"
skip_leave_on_interrupt = true
start_join = ["10.0.0.4"]
start_join_wan = ["10.1.0.4"]
syslog_facility = "LOCAL0"
tagged_addresses { lan = "10.0.0.1" }
telemetry {
  circonus_api_app = "a"
  circonus_api_token = "b"
  circonus_api_url = "c"
  circonus_broker_id = "d"
  circonus_broker_select_tag = "e"
  circonus_check_display_name = "f"
  circonus_check_force_metric_activation = "g"
  circonus_check_id = "h"
  circonus_check_instance_id = "i"
  circonus_check_search_tag = "j"
  circonus_check_tags = "k"
  circonus_submission_interval = "10s"
  circonus_submission_url = ""
  disable_hostname = true
  dogstatsd_addr = "127.0.0.1:8125"
  dogstatsd_tags = ["a:b"]
  filter_default = true
  metrics_prefix = "consul"
  prefix_filter = ["+consul.raft", "-consul.http"]
  prometheus_retention_time = "24h"
  statsd_address = "127.0.0.1:8125"
  statsite_address = "127.0.0.1:8125"
}
tls_cipher_suites = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
tls_min_version = "tls12"
tls_prefer_server_cipher_suites = true
translate_wan_addrs = true
ui = true
ui_content_path = "/ui/"
unix_sockets { group = "0" mode = "0660" user = "0" }
verify_incoming = true
verify_incoming_https = true
verify_incoming_rpc = true
verify_outgoing = true
verify_server_hostname = true
watches = [
  { type = "key", key = "a", handler = "/bin/true" },
  { type = "service", service = "web", handler_type = "http", http_handler_config { path = "http://127.0.0.1:1/", method = "POST" } }
]
