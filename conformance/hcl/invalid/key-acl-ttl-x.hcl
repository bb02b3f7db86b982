acl_ttl = "x"
