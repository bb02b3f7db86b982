service { name { a = 1 } }
