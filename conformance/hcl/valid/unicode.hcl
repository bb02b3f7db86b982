node_meta { a = "ü → 😀" }
