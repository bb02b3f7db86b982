service { name = "a" checks = [{ ttl = "1s" bogus = 1 }] }
