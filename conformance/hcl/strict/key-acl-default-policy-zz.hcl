acl { default_policy = "zz" }
