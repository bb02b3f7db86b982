client_addr = "{{ GetBogus }}"
