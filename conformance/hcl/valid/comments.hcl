# a
// b
/* c
 d */ datacenter /* e */ = /* f */ "a" // g
server = false # h
