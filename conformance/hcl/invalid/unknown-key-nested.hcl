telemetry { bogus = 1 }
