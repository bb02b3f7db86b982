service { name = "a" connect { sidecar_service {} } }
