datacenter: "blog"
