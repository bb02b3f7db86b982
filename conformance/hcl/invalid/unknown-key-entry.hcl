config_entries { bootstrap { kind = "proxy-defaults" name = "global" bogus = 1 } }
