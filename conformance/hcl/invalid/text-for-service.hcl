service = "a"
