service { name = "a" }
service { name = "b" }
