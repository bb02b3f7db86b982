node_name = ""
