service { name = "a" port = 089 }
