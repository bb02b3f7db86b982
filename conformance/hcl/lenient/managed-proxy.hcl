service {
  name = "emojify-api"
  connect = {
    proxy = {
      config = {
        upstreams = [
          {
            destination_name = "mongodb"
            local_bind_port  = 8001
          }
        ]
      }
    }
  }
}
