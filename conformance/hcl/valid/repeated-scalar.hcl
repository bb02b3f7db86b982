datacenter = "a"
datacenter = "b"
