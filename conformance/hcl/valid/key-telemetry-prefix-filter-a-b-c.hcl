telemetry { prefix_filter = ["+a", "-b", "c"] }
