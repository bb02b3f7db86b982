cache { entry_fetch_rate_limit = 0.3 }
