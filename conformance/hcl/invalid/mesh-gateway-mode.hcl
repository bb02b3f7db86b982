service { name = "a" proxy { mesh_gateway { mode = "zz" } } }
