a = <<EOF
hello
  "${world}"
EOF
b = <<-END
    one
      two
    END
c = <<-END
  one

  two
  END
d = [<<X

X
, <<Y
Y
]