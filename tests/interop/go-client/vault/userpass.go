package main

import (
	"net/http"

	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/api/auth/userpass"
)

const (
	password        = "correct horse battery staple"
	refusedPassword = "invalid username or password"
)

// userpassSteps log in with the client's own class for userpass.
func userpassSteps() []step {
	return []step{
		{"enable userpass, and write a user", func(w *walk) {
			for _, path := range []string{"userpass", "people"} {
				noError(w.client.Sys().EnableAuthWithOptions(path, &api.EnableAuthOptions{Type: "userpass"}))
				_, err := w.client.Logical().Write("auth/"+path+"/users/sally", map[string]any{
					"password": password, "token_policies": "reader", "token_ttl": "1h",
				})
				noError(err)
			}
		}},
		{"userpass login with a password as text", func(w *walk) {
			client, secret := w.logIn(userpassLogin(&userpass.Password{FromString: password}))
			equal(secret.Auth.Policies, []string{"default", "reader"}, "policies")
			equal(secret.Auth.Metadata, map[string]string{"username": "sally"}, "metadata")
			equal(secret.Auth.LeaseDuration, 3600, "lease duration")
			equal(data(client.Logical().Read("kv/plain"))["value"], "kept", "value")
			renewed := present(client.Auth().Token().RenewSelf(600))
			equal(renewed.Auth.LeaseDuration, 600, "lease duration after a renewal")
			equal(w.watched(client, secret).Auth.LeaseDuration, 3600, "lease duration by the watcher")
		}},
		{"userpass login with a wrong password", func(w *walk) {
			w.refusedLogin(userpassLogin(&userpass.Password{FromString: "wrong"}), http.StatusBadRequest, refusedPassword)
		}},
		{"userpass login with a password from a file", func(w *walk) {
			inFile(password+"\n", func(file string) {
				w.logIn(userpassLogin(&userpass.Password{FromFile: file}))
			})
		}},
		{"userpass login with a password from the environment", func(w *walk) {
			inEnvironment(password, func(variable string) {
				w.logIn(userpassLogin(&userpass.Password{FromEnv: variable}))
			})
		}},
		{"userpass login at another path", func(w *walk) {
			client, _ := w.logIn(userpassLogin(&userpass.Password{FromString: password}, userpass.WithMountPath("people")))
			equal(data(client.Auth().Token().LookupSelf())["path"], "auth/people/login/sally", "path of the login")
		}},
		{"tokens of userpass end with it", func(w *walk) {
			client, _ := w.logIn(userpassLogin(&userpass.Password{FromString: password}))
			for _, path := range []string{"userpass", "people"} {
				noError(w.client.Sys().DisableAuth(path))
			}
			w.revoked(client.Token())
		}},
	}
}

func userpassLogin(password *userpass.Password, options ...userpass.LoginOption) api.AuthMethod {
	login, err := userpass.NewUserpassAuth("sally", password, options...)
	noError(err)
	return login
}
