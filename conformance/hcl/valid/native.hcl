service { name = "a" connect { native = true } }
