segments = [{name="a" port = 1}]
