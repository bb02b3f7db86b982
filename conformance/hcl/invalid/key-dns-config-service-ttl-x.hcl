dns_config { service_ttl { "*" = "x" } }
