serf_lan_allowed_cidrs = ["x"]
