services {}
