ports { server = 8300 serf_lan = 8300 }
