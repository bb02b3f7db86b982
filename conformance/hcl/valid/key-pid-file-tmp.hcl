pid_file = "/tmp/"
