autopilot { max_trailing_logs = -1 }
