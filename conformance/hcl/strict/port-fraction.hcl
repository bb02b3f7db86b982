service { name = "a" port = 1.5 }
