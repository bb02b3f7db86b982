check { name = "a" }
