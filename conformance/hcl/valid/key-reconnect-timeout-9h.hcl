reconnect_timeout = "9h"
