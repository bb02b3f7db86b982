ports { http = 1 grpc = 2 }
