advertise_addr_ipv4 = "::1"
