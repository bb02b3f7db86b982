check { check_id = "x" name = "a" ttl = "10s" }
