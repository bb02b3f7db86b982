ports { https = -1 grpc = -0x1 }
