service { name = "a" enable_tag_override = "true" }
