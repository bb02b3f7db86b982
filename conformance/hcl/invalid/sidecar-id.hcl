service { name = "a" connect { sidecar_service { id = "x" } } }
