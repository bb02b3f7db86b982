ports { https = 8501 }
