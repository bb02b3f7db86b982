
 {"service": {"name": "a", "port": 1, "tags": ["x"]}}
