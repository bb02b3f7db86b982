server = TRUE
