node_meta { a = "${abc}" b = "%{if}" c = "${"x"}" d = "${x
y}" }
