domain = "a b"
