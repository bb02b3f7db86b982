ports { http = 70000 }
