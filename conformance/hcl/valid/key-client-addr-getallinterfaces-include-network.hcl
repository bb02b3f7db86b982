client_addr = "{{ GetAllInterfaces | include \"network\" \"127.0.0.0/8\" | join \"address\" \" \" }}"
