auto_encrypt { allow_tls = true }
