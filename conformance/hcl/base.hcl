# What every case needs to be a whole configuration.
data_dir  = "/tmp/conformance-hcl"
bind_addr = "127.0.0.1"
node_name = "conformance"
