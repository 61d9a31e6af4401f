name = "dev"
# Read what the team owns.
path "secret/data/+/app/*" {
  capabilities = ["create", "read", "update", "patch", "delete", "list", "sudo"]
  allowed_parameters  = { "ttl" = ["1h", "2*"], "*" = [] }
  denied_parameters   = { "root" = [] }
  required_parameters = ["reason"]
  min_wrapping_ttl = "1m"   max_wrapping_ttl = 300
  control_group { ttl = "4h"  factor "ops" { controlled_capabilities=["read"]  identity { group_names=["g"]  approvals=1 } } }
}
path "secret/{{identity.entity.id}}/*" { policy = "write" }
path "sys/*" { capabilities = ["deny"] }
