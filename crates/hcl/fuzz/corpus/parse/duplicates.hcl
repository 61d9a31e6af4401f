a = 1
a = 2
b {}
b {}
c { d = 1 d = 2 }