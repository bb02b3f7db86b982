datacenter = "a
server = true
