server = true bootstrap_expect = 3 bootstrap = true
