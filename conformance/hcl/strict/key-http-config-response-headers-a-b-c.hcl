http_config { response_headers { "a b" = "c" } }
