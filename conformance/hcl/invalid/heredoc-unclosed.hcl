node_meta { a = <<EOF
abc
