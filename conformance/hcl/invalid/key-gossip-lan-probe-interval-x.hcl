gossip_lan { probe_interval = "x" }
