log_level = "zz"
