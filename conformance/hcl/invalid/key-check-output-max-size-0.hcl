check_output_max_size = 0
