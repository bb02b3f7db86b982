addresses { https = "unix:///tmp/x.sock" } ports { https = 1 }
