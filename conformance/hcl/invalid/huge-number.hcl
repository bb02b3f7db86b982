service { name = "a" port = 99999999999999999999 }
