tls_min_version = "tls99"
