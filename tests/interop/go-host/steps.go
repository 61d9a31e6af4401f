package main

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/plugin"
)

func startSteps(mode string) []step {
	metadata := step{"metadata mode", func(w *walk) {
		m := w.open("custom/", true)
		w.describes(m)
		_, err := m.read("any")
		equal(err, plugin.ErrClientInMetadataMode, "a request")
		m.backend.Cleanup(w.ctx)
		equal(len(children()), 0, "processes")
		given, _ := w.host.unwrapping.counts()
		equal(given, 0, "certificates that were unwrapped")
	}}
	start := []step{
		{"set-up of two mounts", func(w *walk) {
			if w.method == nil {
				w.before = w.stats()
			}
			w.one = w.open("custom/", false)
			w.two = w.open("other/", false)
			version, processes, certificates := "4", 2, 2
			if mode == autoMTLS {
				version, processes, certificates = "5", 1, 0
			}
			given, refused := w.host.unwrapping.counts()
			equal(len(children()), processes, "processes for two mounts")
			equal(given, certificates, "certificates that were unwrapped")
			equal(refused, 0, "calls for certificates that were refused")
			holds(strings.Contains(w.host.log.String(), "using plugin: version="+version+"\n"), "the protocol isn't version %s", version)
		}},
		{"type, special paths, version", func(w *walk) {
			w.describes(w.one)
			w.describes(w.two)
		}},
		{"initialize", func(w *walk) {
			for _, m := range []*mount{w.one, w.two} {
				noError(m.backend.Initialize(w.ctx, &logical.InitializationRequest{Storage: m.storage}))
			}
		}},
	}
	if mode == unwrap {
		return slices.Insert(start, 0, metadata)
	}
	return start
}

// describes checks what a server asks before the first request.
func (w *walk) describes(m *mount) {
	special := m.backend.SpecialPaths()
	holds(special != nil, "no special paths")
	if w.method != nil {
		equal(m.backend.Type(), logical.TypeCredential, "type")
		equal(special.Unauthenticated, []string{w.method.loginPattern}, "paths that need no token")
	} else {
		equal(m.backend.Type(), logical.TypeLogical, "type")
		holds(slices.Contains(special.SealWrapStorage, "config"), "config isn't seal-wrapped: %q", special.SealWrapStorage)
		for _, path := range special.Unauthenticated {
			holds(!strings.HasPrefix(path, "c") && !strings.HasPrefix(path, "r"), "%q needs no token", path)
		}
	}
	versioned, ok := m.backend.(logical.PluginVersioner)
	holds(ok, "no version")
	equal(versioned.PluginVersion().Version, w.pluginVersion, "version")
}

func documentSteps() []step {
	return []step{
		{"existence check", func(w *walk) {
			for _, path := range []string{"config", "roles/developer"} {
				checked, exists := w.one.exists(path, nil)
				holds(checked && !exists, "%s: checked %v, exists %v", path, checked, exists)
			}
			checked, _ := w.one.exists("creds/developer", nil)
			holds(!checked, "creds can't be written and are checked")
		}},
		{"config", func(w *walk) {
			absent(w.one.read("config"))
			refused(logical.CreateOperation, http.StatusBadRequest, "required")(
				w.one.write("config", map[string]any{"api_endpoint": w.serviceURL}))
			absent(w.one.write("config", map[string]any{
				"api_endpoint": w.serviceURL, "api_key": w.serviceKey, "request_timeout": "1s",
			}))
			_, exists := w.one.exists("config", nil)
			holds(exists, "config doesn't exist")
			// An update keeps what it doesn't name.
			absent(w.one.write("config", map[string]any{"api_endpoint": w.serviceURL}))
			config := data(w.one.read("config"))
			equal(strings.TrimSuffix(text(config["api_endpoint"], "api_endpoint"), "/"), w.serviceURL, "api_endpoint")
			for name, value := range config {
				holds(name != "api_key" && value != w.serviceKey, "the key is answered as %s", name)
			}
			holds(slices.Contains(w.one.keys(""), "config"), "config isn't stored")
			holds(!slices.Contains(w.two.keys(""), "config"), "config is stored for the other mount")
		}},
		{"roles", func(w *walk) {
			none, err := w.one.ask(logical.ListOperation, "roles/", nil)
			noError(err)
			holds(none == nil || none.Data["keys"] == nil, "there are roles: %#v", none)
			absent(w.one.write("roles/developer", map[string]any{"permissions": "read,write", "ttl": "30m"}))
			absent(w.one.write("roles/passing", map[string]any{"permissions": []string{"read"}}))
			role := data(w.one.read("roles/developer"))
			equal(role["permissions"], []any{"read", "write"}, "permissions")
			equal(role["ttl"], 1800.0, "ttl")
			equal(data(w.one.ask(logical.ListOperation, "roles/", nil))["keys"], []any{"developer", "passing"}, "roles")
			absent(w.one.ask(logical.DeleteOperation, "roles/passing", nil))
			absent(w.one.read("roles/passing"))
			refused(logical.UpdateOperation, http.StatusBadRequest, "")(
				w.one.ask(logical.UpdateOperation, "roles/developer", map[string]any{"ttl": "soon"}))
		}},
		{"mounts are apart", func(w *walk) {
			absent(w.two.read("config"))
			absent(w.two.read("roles/developer"))
		}},
		{"errors", func(w *walk) {
			refused(logical.ReadOperation, http.StatusBadRequest, `role "nobody" not found`)(w.one.read("creds/nobody"))
			absent(w.two.write("roles/developer", map[string]any{"permissions": "read"}))
			refused(logical.ReadOperation, http.StatusBadRequest, "configure the engine first: write other/config")(
				w.two.read("creds/developer"))
			isError(logical.ErrUnsupportedOperation)(w.one.ask(logical.UpdateOperation, "creds/developer", nil))
			isError(logical.ErrUnsupportedPath)(w.one.read("no/such/path"))
		}},
		{"help", func(w *walk) {
			text(data(w.one.ask(logical.HelpOperation, "", nil))["help"], "help")
			text(data(w.one.ask(logical.HelpOperation, "config", nil))["help"], "help")
		}},
	}
}

func leaseSteps() []step {
	return []step{
		{"creds", func(w *walk) {
			before := w.stats()
			resp, token := w.creds()
			w.lease, w.token = resp, token
			equal(resp.Data["permissions"], []any{"read", "write"}, "permissions")
			equal(resp.Secret.TTL, 30*time.Minute, "ttl")
			equal(resp.Secret.Renewable, true, "renewable")
			equal(resp.Secret.InternalData["secret_type"], "token", "kind of the lease")
			for name, value := range resp.Secret.InternalData {
				holds(value != token, "the lease holds the token as %s", name)
			}
			equal(resp.Secret.InternalData["id"], w.tokenLives(token).ID, "id in the lease")
			equal(w.stats().Live, before.Live+1, "live tokens")
			equal(len(w.one.keys("wal/")), 0, "write-ahead entries")
		}},
		{"renew", func(w *walk) {
			before := w.stats()
			resp, err := w.renew(w.lease)
			noError(err)
			holds(resp != nil && !resp.IsError() && resp.Secret != nil, "no lease: %#v", resp)
			equal(resp.Secret.TTL, 30*time.Minute, "ttl")
			equal(resp.Secret.Renewable, true, "renewable")
			equal(resp.Secret.InternalData, w.lease.Secret.InternalData, "internal data")
			equal(w.stats().Renewed, before.Renewed+1, "renewals")
			left := time.Until(w.tokenLives(w.token).ExpiresAt)
			holds(left > 29*time.Minute && left <= maxTTL, "the token has %v left", left)
		}},
		{"renew what is gone", func(w *walk) {
			lease, _ := w.creds()
			id := text(lease.Secret.InternalData["id"], "id")
			equal(w.askService(http.MethodDelete, "/tokens/"+id, w.serviceKey, nil), http.StatusNoContent, "status of the token service")
			resp, err := w.renew(lease)
			holds(err != nil || resp.IsError(), "a token that is gone was renewed: %#v", resp)
		}},
		{"revoke", func(w *walk) {
			absent(w.revoke(w.lease))
			w.tokenIsGone(w.token)
			// Servers repeat a revocation whose answer they lost.
			absent(w.revoke(w.lease))
		}},
		{"a lease of another kind", func(w *walk) {
			lease, token := w.creds()
			foreign := *lease.Secret
			foreign.InternalData = map[string]any{"secret_type": "other", "id": lease.Secret.InternalData["id"]}
			resp, err := w.revoke(&logical.Response{Secret: &foreign, Data: lease.Data})
			holds(err != nil || resp.IsError(), "it was revoked: %#v", resp)
			w.tokenLives(token)
			absent(w.revoke(lease))
		}},
		{"rollback", func(w *walk) {
			w.rollback()
			equal(len(w.one.keys("wal/")), 0, "write-ahead entries")
			before := w.stats()
			w.one.storage.Underlying().FailDelete(true)
			refused(logical.ReadOperation, http.StatusInternalServerError, "")(w.one.read("creds/developer"))
			w.one.storage.Underlying().FailDelete(false)
			equal(w.stats().Created, before.Created+1, "tokens made")
			equal(len(w.one.keys("wal/")), 1, "write-ahead entries of a token without a lease")
			eventually(func() bool {
				w.rollback()
				return w.stats().Live == before.Live && len(w.one.keys("wal/")) == 0
			}, "the token without a lease is gone")
		}},
		{"invalidation", func(w *walk) {
			for _, key := range w.one.keys("") {
				if strings.HasSuffix(key, "/") {
					continue
				}
				w.one.backend.InvalidateKey(w.ctx, key)
			}
			data(w.one.read("config"))
		}},
	}
}

// creds reads credentials and gives the answer and the token.
func (w *walk) creds() (*logical.Response, string) {
	resp, err := w.one.read("creds/developer")
	token := text(data(resp, err)["token"], "token")
	w.issued = append(w.issued, token)
	holds(resp.Secret != nil, "no lease")
	// The server's part.
	resp.Secret.IssueTime = time.Now()
	return resp, token
}

func (w *walk) renew(lease *logical.Response) (*logical.Response, error) {
	return w.ofLease(logical.RenewOperation, lease)
}

func (w *walk) revoke(lease *logical.Response) (*logical.Response, error) {
	return w.ofLease(logical.RevokeOperation, lease)
}

// ofLease gives a lease back to the plug-in, as it was kept.
func (w *walk) ofLease(operation logical.Operation, lease *logical.Response) (*logical.Response, error) {
	req := w.one.request(operation, "creds/developer", lease.Data)
	req.Secret = lease.Secret
	return w.one.backend.HandleRequest(w.ctx, req)
}

// rollback is what a server asks of each mount about once a minute. "immediate" tells plug-ins on
// Go's framework not to wait for entries to grow old.
func (w *walk) rollback() {
	absent(w.one.ask(logical.RollbackOperation, "", map[string]any{"immediate": true}))
}

func endSteps() []step {
	return []step{
		{"clean-up", func(w *walk) {
			w.one.backend.Cleanup(w.ctx)
			equal(len(children()), 1, "processes after one mount of two")
			_, err := w.one.read("config")
			holds(err != nil, "a mount that was cleaned up answers")
			data(w.two.read("roles/developer"))
			w.two.backend.Cleanup(w.ctx)
			equal(len(children()), 0, "processes")
			w.one, w.two = nil, nil
		}},
		{"no token is left", func(w *walk) {
			equal(w.stats().Live, w.before.Live, "live tokens")
		}},
		{"the log", func(w *walk) { w.logIsClean(w.serviceKey) }},
	}
}

// logIsClean checks that neither this secret nor one that was issued is in the log, and no trouble.
func (w *walk) logIsClean(secret string) {
	log := w.host.log.String()
	for _, secret := range append(w.issued, secret) {
		holds(!strings.Contains(log, secret), "a secret was logged")
	}
	for _, trouble := range []string{"panic", "failed to exit gracefully", "exit status", "[ERROR]"} {
		holds(!strings.Contains(log, trouble), "%q in the log:\n%s", trouble, log)
	}
}
