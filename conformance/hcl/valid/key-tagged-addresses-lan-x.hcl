tagged_addresses { lan = "x" }
