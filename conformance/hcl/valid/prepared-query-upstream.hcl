service { name = "a" connect { sidecar_service { proxy { upstreams { destination_type = "prepared_query" destination_name = "q" local_bind_port = 1 } } } } }
