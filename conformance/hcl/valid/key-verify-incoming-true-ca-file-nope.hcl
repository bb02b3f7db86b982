verify_incoming = true ca_file = "nope"
