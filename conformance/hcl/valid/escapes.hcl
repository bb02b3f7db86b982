node_meta { a = "\a\b\f\n\r\t\v\\\"" b = "\u00e9\x41\101\U0001F600\uD800" }
