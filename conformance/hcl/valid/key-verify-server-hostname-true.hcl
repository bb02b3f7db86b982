verify_server_hostname = true
