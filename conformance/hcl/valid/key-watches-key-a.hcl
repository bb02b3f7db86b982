watches = [{ key = "a" }]
