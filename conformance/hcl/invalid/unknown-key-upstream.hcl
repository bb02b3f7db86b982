services { name = "a" connect { sidecar_service { proxy { upstreams { zot = 1 } } } } }
