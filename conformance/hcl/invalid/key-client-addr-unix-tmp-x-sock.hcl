client_addr = "unix:///tmp/x.sock"
