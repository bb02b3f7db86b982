log_file = "/tmp/zz/"
