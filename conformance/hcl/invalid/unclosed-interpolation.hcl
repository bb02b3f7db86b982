node_meta { a = "${" }
