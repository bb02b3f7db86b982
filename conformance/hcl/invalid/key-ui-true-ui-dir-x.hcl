ui = true ui_dir = "/x"
