retry_join = ["a"
