primary_datacenter = "dc2"
