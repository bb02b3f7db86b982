limits { https_handshake_timeout = "0s" }
