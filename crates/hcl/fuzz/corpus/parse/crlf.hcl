a = <<EOF
x
  EOF
b = "${
}"
# c
d {
}
