service { name = "a" bogus = 1 }
