service { name = "a-proxy" kind = "connect-proxy" port = 1 proxy { destination_service_name = "a" destination_service_id = "a" } }
