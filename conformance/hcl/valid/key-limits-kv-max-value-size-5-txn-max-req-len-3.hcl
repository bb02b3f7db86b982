limits { kv_max_value_size = 5 txn_max_req_len = 3 }
