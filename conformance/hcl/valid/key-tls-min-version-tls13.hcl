tls_min_version = "tls13"
