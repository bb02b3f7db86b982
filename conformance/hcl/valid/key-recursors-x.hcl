recursors = ["x"]
