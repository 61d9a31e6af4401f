# /etc/strongroom/strongroom.hcl, for deploy/systemd/strongroom.service.
# All settings: docs/src/reference/configuration.md.

storage "embedded" {
  path = "/var/lib/strongroom/data"
}

listener "tcp" {
  address       = "0.0.0.0:8200"
  tls_cert_file = "/etc/strongroom/tls.crt"
  tls_key_file  = "/etc/strongroom/tls.key"
}

# For administrators of this machine: VAULT_ADDR=unix:///run/strongroom/api.sock
listener "unix" {
  address     = "/run/strongroom/api.sock"
  socket_mode = "0660"
}

plugin_directory = "/usr/lib/strongroom/plugins"
