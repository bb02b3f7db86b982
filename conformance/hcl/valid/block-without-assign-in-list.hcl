config_entries { bootstrap = [ { kind = "service-router" name = "web" routes = [ { match { http { path_prefix = "/a" } } } ] } ] }
