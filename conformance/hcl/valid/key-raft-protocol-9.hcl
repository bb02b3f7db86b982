raft_protocol = 9
