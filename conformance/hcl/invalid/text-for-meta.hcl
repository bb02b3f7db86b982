service { name = "a" meta = "x" }
