addresses { http = "unix:///tmp/x.sock" }
