service { name = "a" port = 1e2 }
