{"datacenter": "a"} x
