http_config { block_endpoints = ["x"] }
