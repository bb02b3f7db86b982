datacenter = "A B"
