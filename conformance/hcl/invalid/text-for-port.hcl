service { name = "a" port = "x" }
