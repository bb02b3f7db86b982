check { name = "a" args = ["true"] interval = "1s" }
