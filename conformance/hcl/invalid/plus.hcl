service { name = "a" port = +1 }
