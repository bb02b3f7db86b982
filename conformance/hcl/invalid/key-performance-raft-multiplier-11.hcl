performance { raft_multiplier = 11 }
