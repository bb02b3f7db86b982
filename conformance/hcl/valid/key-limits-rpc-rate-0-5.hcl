limits { rpc_rate = 0.5 }
