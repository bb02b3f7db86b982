connect { ca_config { private_key = "x" root_cert = "y" } }
