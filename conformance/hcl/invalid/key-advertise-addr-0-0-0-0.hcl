advertise_addr = "0.0.0.0"
