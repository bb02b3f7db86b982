advertise_addr = "x"
