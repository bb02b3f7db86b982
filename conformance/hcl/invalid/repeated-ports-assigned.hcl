ports = { http = 1 }
ports = { grpc = 2 }
