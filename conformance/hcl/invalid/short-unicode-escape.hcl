node_meta { a = "\u12" }
