advertise_reconnect_timeout = "5m"
