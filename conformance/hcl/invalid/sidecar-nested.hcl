service { name = "a" connect { sidecar_service { connect { sidecar_service {} } } } }
