log_level = "bogus"
