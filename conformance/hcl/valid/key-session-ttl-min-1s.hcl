session_ttl_min = "1s"
