auto_encrypt { tls = true }
