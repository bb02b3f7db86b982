datacenter = = "a"
