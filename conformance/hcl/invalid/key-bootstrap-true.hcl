bootstrap = true
