service { name = "a" tags = "x" }
