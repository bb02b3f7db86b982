performance { raft_multiplier = 0 }
