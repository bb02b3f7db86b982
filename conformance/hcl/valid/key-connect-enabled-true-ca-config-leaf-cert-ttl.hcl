connect { enabled = true ca_config { leaf_cert_ttl = "1s" } }
