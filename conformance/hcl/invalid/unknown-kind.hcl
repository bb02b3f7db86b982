config_entries { bootstrap { kind = "nope" name = "global" } }
