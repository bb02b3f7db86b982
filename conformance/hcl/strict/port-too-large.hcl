service { name = "a" port = 70000 }
