package main

import (
	"net/http"

	"github.com/hashicorp/vault/api"
)

const readerRules = `path "kv/plain" { capabilities = ["read"] }
path "kv/denied" { capabilities = ["deny"] }
path "custom/creds/*" { capabilities = ["read"] }
path "auth/token/create" { capabilities = ["update"] }
`

func policySteps() []step {
	return []step{
		{"policies at the start", func(w *walk) {
			names, err := w.client.Sys().ListPolicies()
			noError(err)
			contains(names, "default", "policies")
			contains(names, "root", "policies")
			rules, err := w.client.Sys().GetPolicy("default")
			noError(err)
			holds(rules != "", "the default policy is empty")
		}},
		{"policy write, read and list", func(w *walk) {
			noError(w.client.Sys().PutPolicy("Reader", "# to be replaced\n"))
			noError(w.client.Sys().PutPolicy("Reader", readerRules))
			rules, err := w.client.Sys().GetPolicy("reader")
			noError(err)
			equal(rules, readerRules, "rules")
			names, err := w.client.Sys().ListPolicies()
			noError(err)
			contains(names, "reader", "policies")
		}},
		{"policy delete", func(w *walk) {
			noError(w.client.Sys().PutPolicy("passing", readerRules))
			noError(w.client.Sys().DeletePolicy("passing"))
			noError(w.client.Sys().DeletePolicy("passing"))
			rules, err := w.client.Sys().GetPolicy("passing")
			noError(err)
			equal(rules, "", "rules of a deleted policy")
			names, err := w.client.Sys().ListPolicies()
			noError(err)
			for _, name := range names {
				holds(name != "passing", "the deleted policy is listed")
			}
		}},
		{"policies that are refused", func(w *walk) {
			refused(w.client.Sys().PutPolicy("broken", `path "x" {`), http.StatusBadRequest, "")
			refused(w.client.Sys().PutPolicy("root", readerRules), http.StatusBadRequest, "")
			refused(w.client.Sys().DeletePolicy("root"), http.StatusBadRequest, "")
			refused(w.client.Sys().DeletePolicy("default"), http.StatusBadRequest, "")
		}},
		{"capabilities", func(w *walk) {
			token := w.newToken(&api.TokenCreateRequest{Policies: []string{"reader"}})
			reader := w.as(token.ClientToken)
			for path, want := range map[string]string{"kv/plain": "read", "kv/denied": "deny", "kv/other": "deny", "custom/creds/x": "read"} {
				got, err := reader.Sys().CapabilitiesSelf(path)
				noError(err)
				equal(got, []string{want}, "capabilities-self of "+path)
				got, err = w.client.Sys().Capabilities(token.ClientToken, path)
				noError(err)
				equal(got, []string{want}, "capabilities of "+path)
				if sys, ok := any(w.client.Sys()).(capabilitiesOfAccessors); ok {
					got, err = sys.CapabilitiesAccessor(token.Accessor, path)
					noError(err)
					equal(got, []string{want}, "capabilities-accessor of "+path)
				}
			}
			got, err := w.client.Sys().CapabilitiesSelf("kv/plain")
			noError(err)
			equal(got, []string{"root"}, "capabilities-self of root")
		}},
	}
}

// capabilitiesOfAccessors is what OpenBao's client has no call for.
type capabilitiesOfAccessors interface {
	CapabilitiesAccessor(accessor, path string) ([]string, error)
}
