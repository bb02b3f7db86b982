config_entries { bootstrap { kind = "proxy-defaults" name = "global" access_logs { enabled = true } } }
