#!/usr/bin/env bash
# Plays the guide of the api-token engine for real: an outside service, a server on the embedded
# store, a plug-in process, a credential that is used, renewed and revoked, a new version of the
# plug-in, and a token tree. Each command is printed with its answer; the first one that fails, or
# answers something else than it should, ends the play with an error.
#
#   examples/demo/demo.sh <folder of binaries>
set -euo pipefail

bin=$(cd "${1:?the folder of the binaries}" && pwd)
scratch=$(mktemp -d)
declare -a started=()

cleanup() {
    local status=$?
    for pid in "${started[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    if ((status != 0)); then
        echo
        echo "The demo FAILED. The end of the server's log:"
        tail -n 20 "$scratch/server.log" 2>/dev/null || true
        [[ -z ${STRONGROOM_DEMO_KEEP:-} ]] || cp -r "$scratch" "$STRONGROOM_DEMO_KEEP"
    fi
    rm -rf "$scratch"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

title() { printf '\n\033[1m── %s\033[0m\n' "$*"; }

# Prints a command and runs it.
run() {
    printf '\n$ %s\n' "$*"
    "$@"
}

fail() {
    echo "demo: $*" >&2
    exit 1
}

# The command must fail, and say this.
must_fail_with() {
    local expected=$1 answer
    shift
    printf '\n$ %s\n' "$*"
    if answer=$("$@" 2>&1); then
        fail "the command succeeded and should not have: $answer"
    fi
    echo "$answer"
    [[ $answer == *"$expected"* ]] || fail "expected an answer with: $expected"
}

# Asks the outside service who a token is. The token travels through a pipe: an argument would stand
# in the list of processes.
who_is() {
    printf 'header = "Authorization: Bearer %s"\n' "$1" |
        curl --silent --show-error --config - --write-out ' (%{http_code})\n' "$service/self"
}

known_to_the_service() {
    local expected=$1 answer
    printf '\n$ curl -H "Authorization: Bearer $TOKEN" %s/self\n' "$service"
    answer=$(who_is "$2")
    echo "$answer"
    [[ $answer == *"($expected)" ]] || fail "the service should have answered $expected"
}

# Waits until a file holds a line that matches, and prints what its last group matched.
wait_for() {
    local file=$1 pattern=$2 pid=$3 line
    for _ in $(seq 200); do
        if line=$(grep -E -m1 "$pattern" "$file" 2>/dev/null); then
            sed -E "s|.*$pattern.*|\\1|" <<<"$line"
            return
        fi
        kill -0 "$pid" 2>/dev/null || fail "a server ended: $(tail -n 5 "$file")"
        sleep 0.05
    done
    fail "no line like $pattern in $file"
}

command -v curl >/dev/null || fail "curl is needed"
strongroom() { "$bin/strongroom" "$@"; }

title "An outside service that gives out API tokens"
export TOKEN_SERVICE_API_KEY="key-$RANDOM$RANDOM" TOKEN_SERVICE_ADDR=127.0.0.1:0
"$bin/token-service" >"$scratch/service.log" 2>&1 &
started+=($!)
service=$(wait_for "$scratch/service.log" 'listening on (http://[0-9.:]+)' $!)
echo "token-service listens on $service"

title "A server on the embedded store"
mkdir -m 755 "$scratch/plugins"
install -m 755 "$bin/strongroom-engine-api-token" "$bin/strongroom-engine-api-token-2" \
    "$scratch/plugins/"
cat >"$scratch/server.hcl" <<HCL
storage "embedded" {
  path = "$scratch/data"
}

listener "tcp" {
  address     = "127.0.0.1:0"
  tls_disable = true
}

plugin_directory = "$scratch/plugins"
HCL
run cat "$scratch/server.hcl"
printf '\n$ strongroom server -config=server.hcl\n'
"$bin/strongroom" server -config="$scratch/server.hcl" >"$scratch/server.log" 2>&1 &
started+=($!)
address=$(wait_for "$scratch/server.log" 'Listener.*addr: "([0-9.:]+)"' $!)
export VAULT_ADDR="http://$address" HOME="$scratch"
echo "strongroom listens on $VAULT_ADDR"

title "Initialise and unseal"
printf '\n$ strongroom operator init -key-shares=1 -key-threshold=1\n'
strongroom operator init -key-shares=1 -key-threshold=1 >"$scratch/init"
sed -E 's/(: .{6}).*/\1…/' "$scratch/init" | grep -E '^(Unseal Key|Initial Root)'
unseal_key=$(sed -n 's/^Unseal Key 1: //p' "$scratch/init")
VAULT_TOKEN=$(sed -n 's/^Initial Root Token: //p' "$scratch/init")
export VAULT_TOKEN
printf '\n$ strongroom operator unseal\n'
strongroom operator unseal - <<<"$unseal_key"

title "Register the engine by its digest, and enable it"
digest=$(sha256sum "$scratch/plugins/strongroom-engine-api-token" | cut -d' ' -f1)
run strongroom plugin register -sha256="$digest" -command=strongroom-engine-api-token \
    secret api-token
run strongroom secrets enable -path=custom api-token

title "Configure it"
printf '\n$ strongroom write custom/config api_endpoint=%s api_key=-\n' "$service"
printf %s "$TOKEN_SERVICE_API_KEY" |
    strongroom write custom/config api_endpoint="$service" api_key=-
run strongroom read custom/config
run strongroom write custom/roles/developer permissions=read,write ttl=1h max_ttl=24h
run strongroom read custom/roles/developer

title "A credential that nobody knew before"
printf '\n$ strongroom read custom/creds/developer\n'
strongroom read -format=json custom/creds/developer >"$scratch/creds"
field() { sed -nE "s/^ *\"$1\": \"?([^\",]*)\"?,?$/\\1/p" "$scratch/creds" | head -n1; }
token=$(field token) lease=$(field lease_id)
sed -E 's/("token": ".{4})[^"]*/\1…/' "$scratch/creds"
known_to_the_service 200 "$token"
run strongroom lease renew -increment=2h "$lease"
run strongroom lease revoke "$lease"
known_to_the_service 401 "$token"

title "A new version of the engine, under load or not"
digest=$(sha256sum "$scratch/plugins/strongroom-engine-api-token-2" | cut -d' ' -f1)
run strongroom plugin register -sha256="$digest" -command=strongroom-engine-api-token-2 \
    -version=2.0.0 secret api-token
run strongroom plugin reload -plugin=api-token
printf '\n$ strongroom secrets list -detailed\n'
strongroom secrets list -detailed | tee "$scratch/mounts" | cut -c1-60
version=$(strongroom read -field=running_plugin_version sys/mounts/custom)
echo "custom/ runs $version"
[[ $version == v2.0.0 ]] || fail "version 2.0.0 should be running"

title "What a token asked for goes with the token"
printf '\n$ strongroom policy write developer -\n'
strongroom policy write developer - <<'HCL'
path "custom/creds/developer" {
  capabilities = ["read"]
}
HCL
printf '\n$ strongroom token create -policy=developer -ttl=1h\n'
strongroom token create -policy=developer -ttl=1h >"$scratch/child"
sed -E 's/^(token +.{6}).*/\1…/' "$scratch/child"
child=$(sed -nE 's/^token +//p' "$scratch/child")
accessor=$(sed -nE 's/^token_accessor +//p' "$scratch/child")
printf '\n$ VAULT_TOKEN=$CHILD strongroom read custom/creds/developer\n'
VAULT_TOKEN=$child strongroom read -format=json custom/creds/developer >"$scratch/creds"
token=$(field token)
sed -E 's/("token": ".{4})[^"]*/\1…/' "$scratch/creds"
known_to_the_service 200 "$token"
VAULT_TOKEN=$child must_fail_with "permission denied" strongroom read custom/config
run strongroom token revoke -accessor "$accessor"
# Its leases end first, in the background.
for _ in $(seq 100); do
    answer=$(who_is "$token")
    [[ $answer == *"(200)" ]] || break
    sleep 0.1
done
known_to_the_service 401 "$token"

title "Done: the service knows none of the tokens any more"
left=$(printf 'header = "Authorization: Bearer %s"\n' "$TOKEN_SERVICE_API_KEY" |
    curl --silent --show-error --config - "$service/stats")
echo "$left"
[[ $left == *'"live":0'* ]] || fail "credentials were left behind"
