datacenter
=
"a"
