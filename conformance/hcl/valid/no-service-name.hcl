service { port = 80 }
