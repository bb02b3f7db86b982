ports { http = 8500 https = 8500 }
