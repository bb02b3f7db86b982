discovery_max_stale = "x"
