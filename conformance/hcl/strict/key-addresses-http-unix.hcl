addresses { http = "unix://" }
