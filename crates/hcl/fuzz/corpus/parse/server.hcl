/* A server with
   everything. */
ui = true
api_addr = "https://vault.example:8200" // seen by clients
disable_mlock = true
default_lease_ttl = "768h", max_lease_ttl = 2764800
storage "raft" {
  path = "/var/lib/strongroom"
  node_id = "a-1"
  max_entry_size = 0x100000
  retry_join { leader_api_addr = "https://b:8200" }
  retry_join { leader_api_addr = "https://c:8200" }
}
listener "tcp" {
  address = "[::]:8200"
  tls_disable = "false"
  custom_response_headers {
    "default" = { "X-A" = ["b"] }
    "2xx" = { "X-C" = ["d", "e",] }
  }
  telemetry { unauthenticated_metrics_access = false }
}
listener unix {
  address = "/run/strongroom.sock"
  socket_mode = 0660
}
seal "transit" {
  address = "https://other:8200"
  token = "${file("/run/token", { trim = "yes" })}"
  disabled = "true"
}
audit "file" "main" { options { path = "/var/log/audit.log" } }
telemetry { lease_metrics_epsilon = 1.5e0, disable_hostname = true }
user_lockout "all" { lockout_threshold = 5 lockout_duration = "15m" }
