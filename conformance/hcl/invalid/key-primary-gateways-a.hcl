primary_gateways = ["a"]
