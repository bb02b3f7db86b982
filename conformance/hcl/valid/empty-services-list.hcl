services = []
