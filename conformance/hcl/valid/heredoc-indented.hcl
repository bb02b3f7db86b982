node_meta {
  a = <<-EOF
    abc
      def
    EOF
}
