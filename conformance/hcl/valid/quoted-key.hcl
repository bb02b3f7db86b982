"datacenter" = "a"
