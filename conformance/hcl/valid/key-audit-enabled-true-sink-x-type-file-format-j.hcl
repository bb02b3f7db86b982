audit { enabled = true sink "x" { type = "file" format = "json" path = "a" delivery_guarantee = "best-effort" } }
