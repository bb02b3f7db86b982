session_ttl_min = "x"
