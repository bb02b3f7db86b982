check { name = "a" ttl = "1s" output_max_size = -1 }
