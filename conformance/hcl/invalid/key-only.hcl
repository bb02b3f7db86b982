service { name "a" }
