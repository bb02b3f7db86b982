client_addr = "{{ GetInterfaceIP \"nope\" }}"
