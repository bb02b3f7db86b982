acl { enabled = true }
