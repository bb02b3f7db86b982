server = true bootstrap_expect = 2
