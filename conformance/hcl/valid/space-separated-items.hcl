service { name = "a" connect { sidecar_service { proxy { upstreams = [ { destination_name = "mongodb" local_bind_port = 8001 } ] } } } }
