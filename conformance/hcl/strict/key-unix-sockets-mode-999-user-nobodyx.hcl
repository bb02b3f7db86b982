unix_sockets { mode = "999" user = "nobodyx" }
