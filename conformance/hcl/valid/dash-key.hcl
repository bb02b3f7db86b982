node_meta { a-b = "c" }
