addresses { dns = "unix:///tmp/x.sock" }
