autopilot { min_quorum = -1 }
