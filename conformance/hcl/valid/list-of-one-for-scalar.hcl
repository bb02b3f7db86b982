service { name = ["a"] }
