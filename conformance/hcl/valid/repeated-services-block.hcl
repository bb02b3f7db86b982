services { name = "a" }
services { name = "b" }
