datacenter = <EOF
