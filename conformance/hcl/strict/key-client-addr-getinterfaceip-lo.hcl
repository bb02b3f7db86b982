client_addr = "{{ GetInterfaceIP \"lo\" }}"
