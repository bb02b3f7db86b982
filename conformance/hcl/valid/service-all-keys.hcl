service {
  id = "a1"
  name = "a"
  kind = ""
  tags = ["x", "y"]
  meta { version = "1" }
  port = 80
  address = "192.0.2.1"
  tagged_addresses {
    lan { address = "192.0.2.1" port = 1 }
    wan = { address = "192.0.2.2", port = 2 }
  }
  weights { passing = 10 warning = 1 }
  enable_tag_override = true
  token = "t"
  check { ttl = "10s" }
  checks = [{ tcp = "127.0.0.1:1" interval = "10s" }]
  connect {
    sidecar_service {
      port = 20000
      check { alias_service = "a1" }
      proxy {
        local_service_address = "127.0.0.1"
        local_service_port = 80
        config { protocol = "http" limits { max_connections = 3 } }
        mesh_gateway { mode = "local" }
        expose { checks = true paths { path = "/x" local_path_port = 1 listener_port = 2 protocol = "http" } }
        upstreams {
          destination_type = "service"
          destination_namespace = ""
          destination_name = "b"
          datacenter = "dc2"
          local_bind_address = "127.0.0.1"
          local_bind_port = 8001
          config { connect_timeout_ms = 1000 }
          mesh_gateway { mode = "none" }
        }
      }
    }
  }
}
