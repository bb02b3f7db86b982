dns_config { node_ttl = "-5s" }
