datacenter = null
