syslog_facility = "LOCAL99"
