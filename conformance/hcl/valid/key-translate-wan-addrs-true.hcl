translate_wan_addrs = true
