http_config { max_header_bytes = 10 }
