SERVICE { NAME = "a" }
