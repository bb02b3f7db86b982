ports = { http = 1 }
