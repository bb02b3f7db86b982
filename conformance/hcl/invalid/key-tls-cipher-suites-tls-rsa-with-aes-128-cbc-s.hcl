tls_cipher_suites = "TLS_RSA_WITH_AES_128_CBC_SHA,foo"
