datacenter = "dc7"
server = true
bootstrap = true
node_id = "4e9bd8e4-9b3a-4b3c-8b0e-0b8a5d0e7b11"
node_meta { zone = "a" }
client_addr = "127.0.0.1 ::1"
advertise_addr = "127.0.0.1"
log_level = "warn"
log_json = true
ui = true
ports { http = 8501 dns = -1 grpc = 8503 sidecar_min_port = 22000 sidecar_max_port = 22100 }
addresses { http = "127.0.0.1" }
connect { enabled = true }
telemetry { statsd_address = "127.0.0.1:8125" dogstatsd_tags = ["a:b"] prometheus_retention_time = "24h" disable_hostname = true }
acl { enabled = false tokens { agent = "x" } }
performance { raft_multiplier = 1 }
dns_config { service_ttl { "*" = "5s" } only_passing = true }
enable_central_service_config = true
watches = []
limits { http_max_conns_per_client = 10 }
