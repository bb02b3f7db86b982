service { name = "a" connect { sidecar_service { proxy { upstreams { destination_type = "zz" destination_name = "b" local_bind_port = 1 } } } } }
