ports { https = 8501 } cert_file = "nope" key_file = "nope"
