default_query_time = "5s" max_query_time = "1s"
