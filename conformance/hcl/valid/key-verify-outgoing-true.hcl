verify_outgoing = true
