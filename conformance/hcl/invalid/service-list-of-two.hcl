service = [{ name = "a" }, { name = "b" }]
