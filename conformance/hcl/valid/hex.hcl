service { name = "a" port = 0x1F }
