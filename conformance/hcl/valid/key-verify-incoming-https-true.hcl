verify_incoming_https = true
