max_query_time = "x"
