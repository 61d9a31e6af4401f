# who may read
path "secret/*" { capabilities=["read",   "list"] } # and list
path "kv/a" {
  # inner
  capabilities = ["create",
    "update", # later
  ]
}
