plugin "abababababababababababababababababababababababababababababababab" {
  command = "custom"
  args = ["-x"]
  env = ["A", "B=c"]
}
