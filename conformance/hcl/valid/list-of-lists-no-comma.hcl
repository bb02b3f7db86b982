services = [[{ name = "a" }] [{ name = "b" }]]
