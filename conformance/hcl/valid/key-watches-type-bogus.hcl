watches = [{ type = "bogus" }]
