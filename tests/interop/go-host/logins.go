package main

import (
	"net/http"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

const password = "correct horse battery staple"

// method is what differs between auth methods.
type method struct {
	// loginPattern is the only path that needs no token, as special paths have it.
	loginPattern string
	// account is the path of an account's document, and folder that of the list.
	account, folder string
	// fields are what a new account must have.
	fields map[string]any
	// credentials are a login's path, and the fields of it that are right.
	credentials func(w *walk) (path string, fields map[string]any)
	// secret is the name of the field with the secret.
	secret string
	// metadata is what the tokens get.
	metadata map[string]string
	// displayName is the name of the tokens.
	displayName string
	// role is whose quotas apply to a login; empty for a method without roles.
	role    string
	refusal string
}

var methods = map[string]*method{
	"userpass": {
		loginPattern: "login/+",
		account:      "users/sally",
		folder:       "users/",
		fields:       map[string]any{"password": password},
		credentials: func(*walk) (string, map[string]any) {
			return "login/sally", map[string]any{"password": password}
		},
		secret:      "password",
		metadata:    map[string]string{"username": "sally"},
		displayName: "sally",
		refusal:     "invalid username or password",
	},
	"approle": {
		loginPattern: "login",
		account:      "role/sally",
		folder:       "role/",
		fields:       map[string]any{"secret_id_num_uses": 1},
		credentials: func(w *walk) (string, map[string]any) {
			role := data(w.one.read("role/sally/role-id"))
			issued := data(w.one.ask(logical.UpdateOperation, "role/sally/secret-id", nil))
			secretID := text(issued["secret_id"], "secret id")
			w.issued = append(w.issued, secretID)
			return "login", map[string]any{"role_id": role["role_id"], "secret_id": secretID}
		},
		secret:   "secret_id",
		metadata: map[string]string{"role_name": "sally"},
		role:     "sally",
		refusal:  "invalid role or secret ID",
	},
}

func loginSteps() []step {
	return []step{
		{"accounts", func(w *walk) {
			checked, exists := w.one.exists(w.method.account, w.method.fields)
			holds(checked && !exists, "the account: checked %v, exists %v", checked, exists)
			w.writeAccount(w.method.fields)
			w.writeAccount(map[string]any{"token_policies": "dev", "token_ttl": "1h"})
			_, exists = w.one.exists(w.method.account, nil)
			holds(exists, "the account doesn't exist")
			account := data(w.one.read(w.method.account))
			equal(account["token_policies"], []any{"dev"}, "policies")
			equal(account["token_ttl"], 3600.0, "TTL")
			equal(data(w.one.ask(logical.ListOperation, w.method.folder, nil))["keys"], []any{"sally"}, "accounts")
			absent(w.two.read(w.method.account))
		}},
		{"alias look-ahead", func(w *walk) {
			path, fields := w.method.credentials(w)
			want := "sally"
			if roleID, ok := fields["role_id"]; ok {
				want = text(roleID, "role id")
			}
			equal(w.alias(path, fields), want, "alias")
			// The secret isn't looked at, and nothing is used up.
			equal(w.alias(path, map[string]any{"role_id": fields["role_id"], w.method.secret: "wrong"}), want, "alias without the secret")
			w.authenticated(w.logIn(path, fields))
		}},
		{"role of a login", func(w *walk) {
			path, fields := w.method.credentials(w)
			found := data(w.ofClient(logical.ResolveRoleOperation, path, fields))
			equal(found["role"], w.method.role, "role")
		}},
		{"login", func(w *walk) {
			path, fields := w.method.credentials(w)
			auth := w.authenticated(w.logIn(path, fields))
			equal(auth.Policies, []string{"dev"}, "policies")
			equal(auth.TTL, time.Hour, "TTL")
			equal(auth.Renewable, true, "renewable")
			equal(auth.Metadata, w.method.metadata, "metadata")
			equal(auth.DisplayName, w.method.displayName, "display name")
			holds(auth.Alias != nil, "no alias")
			equal(auth.Alias.Name, w.alias(path, fields), "alias")
			equal(auth.ClientToken, "", "token, which the server makes")
			for name, value := range auth.InternalData {
				holds(value != fields[w.method.secret], "the login's secret is kept as %s", name)
			}
		}},
		{"refused logins", func(w *walk) {
			path, fields := w.method.credentials(w)
			wrong := map[string]any{"role_id": fields["role_id"], w.method.secret: "wrong"}
			refused(logical.UpdateOperation, http.StatusBadRequest, w.method.refusal)(w.logIn(path, wrong))
			refused(logical.UpdateOperation, http.StatusBadRequest, "missing "+w.method.secret)(
				w.logIn(path, map[string]any{"role_id": fields["role_id"]}))
			if _, counted := w.method.fields["secret_id_num_uses"]; counted {
				w.authenticated(w.logIn(path, fields))
				refused(logical.UpdateOperation, http.StatusBadRequest, w.method.refusal)(w.logIn(path, fields))
			}
			isError(logical.ErrUnsupportedOperation)(w.one.read(path))
		}},
		{"renew", func(w *walk) {
			path, fields := w.method.credentials(w)
			auth := w.authenticated(w.logIn(path, fields))
			renewed := w.authenticated(w.renewLogin(path, auth))
			equal(renewed.TTL, time.Hour, "TTL")
			equal(renewed.Renewable, true, "renewable")
			// Terms of the account apply as they are now.
			w.writeAccount(map[string]any{"token_ttl": "20m"})
			equal(w.authenticated(w.renewLogin(path, auth)).TTL, 20*time.Minute, "TTL after a change")
			w.writeAccount(map[string]any{"token_policies": "ops"})
			w.notRenewed(path, auth)
			w.writeAccount(map[string]any{"token_policies": "dev"})
			w.authenticated(w.renewLogin(path, auth))
			absent(w.one.ask(logical.DeleteOperation, w.method.account, nil))
			w.notRenewed(path, auth)
		}},
		{"rollback", func(w *walk) { w.rollback() }},
		{"invalidation", func(w *walk) {
			w.writeAccount(w.method.fields)
			for _, folder := range []string{"", w.method.folder} {
				for _, key := range w.one.keys(folder) {
					w.one.backend.InvalidateKey(w.ctx, folder+key)
				}
			}
			path, fields := w.method.credentials(w)
			w.authenticated(w.logIn(path, fields))
		}},
	}
}

func loginEndSteps() []step {
	return []step{
		{"clean-up", func(w *walk) {
			w.one.backend.Cleanup(w.ctx)
			equal(len(children()), 1, "processes after one mount of two")
			_, err := w.one.read(w.method.account)
			holds(err != nil, "a mount that was cleaned up answers")
			absent(w.two.read(w.method.account))
			w.two.backend.Cleanup(w.ctx)
			equal(len(children()), 0, "processes")
			w.one, w.two = nil, nil
		}},
		{"the log", func(w *walk) { w.logIsClean(password) }},
	}
}

// writeAccount writes fields of the account.
func (w *walk) writeAccount(fields map[string]any) {
	absent(w.one.write(w.method.account, fields))
}

// ofClient is a request without a token.
func (w *walk) ofClient(operation logical.Operation, path string, fields map[string]any) (*logical.Response, error) {
	req := w.one.request(operation, path, fields)
	req.ClientToken, req.DisplayName, req.Unauthenticated = "", "", true
	req.Connection = &logical.Connection{RemoteAddr: "127.0.0.1"}
	return w.one.backend.HandleRequest(w.ctx, req)
}

func (w *walk) logIn(path string, fields map[string]any) (*logical.Response, error) {
	return w.ofClient(logical.UpdateOperation, path, fields)
}

// alias is whom a login is for, which a server asks before it.
func (w *walk) alias(path string, fields map[string]any) string {
	auth := w.authenticated(w.ofClient(logical.AliasLookaheadOperation, path, fields))
	holds(auth.Alias != nil, "no alias")
	return text(auth.Alias.Name, "alias")
}

// renewLogin gives a login back to the plug-in, as a server keeps it: with the policy that all
// tokens have.
func (w *walk) renewLogin(path string, auth *logical.Auth) (*logical.Response, error) {
	kept := *auth
	kept.Policies = append([]string{"default"}, auth.Policies...)
	kept.TokenPolicies = kept.Policies
	kept.IssueTime = time.Now()
	req := w.one.request(logical.RenewOperation, path, nil)
	req.Auth = &kept
	req.Connection = &logical.Connection{RemoteAddr: "127.0.0.1"}
	return w.one.backend.HandleRequest(w.ctx, req)
}

func (w *walk) notRenewed(path string, auth *logical.Auth) {
	resp, err := w.renewLogin(path, auth)
	holds(err != nil || resp.IsError(), "it was renewed: %#v", resp)
}

// authenticated is the auth part of an answer that must have one.
func (w *walk) authenticated(resp *logical.Response, err error) *logical.Auth {
	noError(err)
	holds(resp != nil && !resp.IsError() && resp.Auth != nil, "no auth: %#v", resp)
	return resp.Auth
}
