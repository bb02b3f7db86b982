check { name = "a" http = "http://h/" interval = "1s" header { a = "b" } }
