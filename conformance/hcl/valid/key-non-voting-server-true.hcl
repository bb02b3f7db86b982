non_voting_server = true
