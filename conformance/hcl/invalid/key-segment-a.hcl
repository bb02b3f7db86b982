segment = "a"
