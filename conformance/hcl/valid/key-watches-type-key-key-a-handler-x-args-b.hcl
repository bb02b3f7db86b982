watches = [{ type = "key" key = "a" handler = "x" args = ["b"] }]
