limits { rpc_handshake_timeout = "x" }
