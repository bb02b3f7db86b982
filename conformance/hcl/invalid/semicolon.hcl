server = true;
