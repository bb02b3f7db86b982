raft_snapshot_interval = "x"
