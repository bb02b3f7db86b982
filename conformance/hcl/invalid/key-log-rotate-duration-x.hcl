log_rotate_duration = "x"
