acl_default_policy = "zz"
