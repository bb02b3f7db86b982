node_meta { a = "\q" }
