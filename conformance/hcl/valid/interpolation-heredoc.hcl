node_meta { a = <<EOF
${abc} %{if}
EOF
}
