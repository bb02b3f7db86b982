ports { grpc = 99999 }
