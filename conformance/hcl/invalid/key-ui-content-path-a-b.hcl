ui_content_path = "a..b"
