service = [{ name = "a" }]
