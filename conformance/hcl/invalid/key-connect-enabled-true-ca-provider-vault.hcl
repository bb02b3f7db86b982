connect { enabled = true ca_provider = "vault" }
