service { name = "a"
