telemetry { prometheus_retention_time = "x" }
