acl { enabled = true tokens { master = "x" } }
