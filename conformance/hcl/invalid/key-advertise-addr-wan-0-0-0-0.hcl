advertise_addr_wan = "0.0.0.0"
