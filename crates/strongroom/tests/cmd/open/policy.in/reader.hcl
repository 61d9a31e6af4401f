path "shared/*" {
  capabilities = ["read", "list"]
}
