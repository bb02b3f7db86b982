cache { entry_fetch_rate = 0.3 }
