disable_keyring_file = true
