auto_config { enabled = true }
