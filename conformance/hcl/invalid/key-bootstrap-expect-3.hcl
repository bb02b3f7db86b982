bootstrap_expect = 3
