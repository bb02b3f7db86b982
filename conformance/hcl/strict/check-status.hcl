check { name = "a" ttl = "1s" status = "great" }
