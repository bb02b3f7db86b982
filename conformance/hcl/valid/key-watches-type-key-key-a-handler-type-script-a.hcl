watches = [{ type = "key" key = "a" handler_type = "script" args = ["a"] }]
