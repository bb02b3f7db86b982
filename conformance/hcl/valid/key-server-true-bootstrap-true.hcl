server = true bootstrap = true
