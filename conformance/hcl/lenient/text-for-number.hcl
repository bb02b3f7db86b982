service { name = "a" port = "80" }
