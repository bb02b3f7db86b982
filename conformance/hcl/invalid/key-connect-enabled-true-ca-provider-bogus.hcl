connect { enabled = true ca_provider = "bogus" }
