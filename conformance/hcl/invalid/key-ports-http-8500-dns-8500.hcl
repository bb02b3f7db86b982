ports { http = 8500 dns = 8500 }
