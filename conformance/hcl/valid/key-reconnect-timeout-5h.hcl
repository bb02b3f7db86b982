reconnect_timeout = "5h"
