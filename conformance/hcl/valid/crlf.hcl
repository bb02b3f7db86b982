datacenter = "a"
log_level = "warn"
