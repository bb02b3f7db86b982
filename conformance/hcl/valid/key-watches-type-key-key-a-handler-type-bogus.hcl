watches = [{ type = "key" key = "a" handler_type = "bogus" }]
