acl { down_policy = "zz" }
