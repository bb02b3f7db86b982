service { name = ["a", "b"] }
