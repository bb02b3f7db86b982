http_config { allow_write_http_from = ["x"] }
