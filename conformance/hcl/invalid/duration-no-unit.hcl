check { name = "a" ttl = "5" }
