auto_encrypt { tls = true } ca_file = "x" verify_outgoing = true
