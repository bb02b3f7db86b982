consul { raft { election_timeout = "1s" } }
