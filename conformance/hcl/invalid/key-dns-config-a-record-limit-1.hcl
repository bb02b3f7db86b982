dns_config { a_record_limit = -1 }
