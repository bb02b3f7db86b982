datacenter = "a"
ÿ = 1
