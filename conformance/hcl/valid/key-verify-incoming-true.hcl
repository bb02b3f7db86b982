verify_incoming = true
