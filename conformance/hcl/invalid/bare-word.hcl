datacenter = abc
