log_rotate_bytes = -5
