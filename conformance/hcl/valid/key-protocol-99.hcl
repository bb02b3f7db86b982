protocol = 99
