node_meta { a = <<
abc
}
