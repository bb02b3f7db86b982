datacenter = "a", log_level = "warn",
server = false
