advertise_addr_wan_ipv6 = "1.2.3.4"
