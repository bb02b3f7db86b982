check { name = "a" script = "true" interval = "1s" }
