performance { leave_drain_time = "x" }
