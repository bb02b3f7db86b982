node_meta { 1a = "b" }
