retry_join = []
recursors = ["1.1.1.1"]
recursors = ["2.2.2.2"]
