telemetry { statsd_address = "x" }
