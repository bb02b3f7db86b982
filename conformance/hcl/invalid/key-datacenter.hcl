datacenter = ""
