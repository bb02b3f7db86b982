service { name = "a" port = 0644 }
