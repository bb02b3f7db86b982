dns_config { soa { refresh = -1 } }
