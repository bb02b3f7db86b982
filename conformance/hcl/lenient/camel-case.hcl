service { Name = "a" Port = 80 Connect { SidecarService { Proxy { Upstreams { DestinationName = "x" LocalBindPort = 1 } } } } }
