alt_domain = "consul."
