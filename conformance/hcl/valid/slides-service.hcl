services {
  name = "emojify-api"
  port = 9090
  connect {
    sidecar_service {
      port = 20000
      proxy {
        local_service_address = "127.0.0.1"
        local_service_port    = 9090
        upstreams {
          destination_name = "emojify-facebox"
          local_bind_port  = 8003
        }
        upstreams {
          destination_name = "emojify-cache"
          local_bind_port  = 8005
        }
      }
    }
  }
}
