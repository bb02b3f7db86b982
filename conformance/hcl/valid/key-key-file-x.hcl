key_file = "x"
