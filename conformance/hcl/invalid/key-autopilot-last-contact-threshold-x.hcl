autopilot { last_contact_threshold = "x" }
