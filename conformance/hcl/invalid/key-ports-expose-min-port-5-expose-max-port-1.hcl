ports { expose_min_port = 5 expose_max_port = 1 }
