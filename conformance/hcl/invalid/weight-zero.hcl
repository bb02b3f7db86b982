service { name = "a" weights { passing = 0 } }
