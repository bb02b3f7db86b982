datacenter "a"
