limits { http_max_conns_per_client = -1 }
