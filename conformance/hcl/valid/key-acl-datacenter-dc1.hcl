acl_datacenter = "DC1"
