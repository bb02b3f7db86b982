auto_config { enabled = true intro_token = "x" server_addresses = ["a"] }
