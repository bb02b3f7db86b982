service { name = "a" proxy { config { limits "x" "y" { max = 1 } } } }
