dns_config { recursor_timeout = "x" }
