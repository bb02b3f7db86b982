checks = [
  { id = "t" name = "t" ttl = "1m" notes = "n" status = "passing" service_id = "x" token = "t" },
  { name = "h" http = "https://h/" method = "PUT" header { a = ["b", "c"] } body = "x" tls_skip_verify = true interval = "10s" timeout = "1s" },
  { name = "c" tcp = "h:1" interval = "10s" success_before_passing = 3 failures_before_critical = 2 output_max_size = 10 },
  { name = "g" grpc = "h:1/svc" grpc_use_tls = true interval = "10s" deregister_critical_service_after = "90m" },
  { name = "s" alias_service = "web" },
  { name = "n" alias_node = "node" },
]
