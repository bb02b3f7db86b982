node_meta = {
  a = "1"
  b = "2"
}
