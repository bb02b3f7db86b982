service { name = 1 meta { a = 1 b = true } }
