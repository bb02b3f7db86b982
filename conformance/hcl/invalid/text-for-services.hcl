services = ["a"]
