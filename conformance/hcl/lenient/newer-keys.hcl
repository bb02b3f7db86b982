ui_config { enabled = true }
default_intention_policy = "allow"
peering { enabled = true }
