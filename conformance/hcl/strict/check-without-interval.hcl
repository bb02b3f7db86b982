check { name = "a" http = "http://h/" }
