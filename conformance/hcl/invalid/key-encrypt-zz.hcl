encrypt = "zz"
