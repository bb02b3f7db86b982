retry_join = ["provider=aws tag_key=x"]
