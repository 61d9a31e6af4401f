package main

import (
	"net/http"
	"os"
	"path/filepath"

	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/api/auth/approle"
)

const refusedRole = "invalid role or secret ID"

// appRoleSteps log in with the client's own class for AppRole.
func appRoleSteps() []step {
	return []step{
		{"enable approle, and write a role", func(w *walk) {
			for _, path := range []string{"approle", "machines"} {
				noError(w.client.Sys().EnableAuthWithOptions(path, &api.EnableAuthOptions{Type: "approle"}))
				_, err := w.client.Logical().Write("auth/"+path+"/role/ci", map[string]any{
					"token_policies": "reader", "token_ttl": "1h", "secret_id_num_uses": 1,
				})
				noError(err)
			}
		}},
		{"approle login with a secret id as text", func(w *walk) {
			secretID := w.secretID(w.client, "approle")
			client, secret := w.logIn(w.appRole("approle", &approle.SecretID{FromString: text(secretID.Data["secret_id"], "secret id")}))
			equal(secret.Auth.Policies, []string{"default", "reader"}, "policies")
			equal(secret.Auth.Metadata, map[string]string{"role_name": "ci"}, "metadata")
			equal(secret.Auth.LeaseDuration, 3600, "lease duration")
			equal(data(client.Logical().Read("kv/plain"))["value"], "kept", "value")
			renewed := present(client.Auth().Token().RenewSelf(600))
			equal(renewed.Auth.LeaseDuration, 600, "lease duration after a renewal")
			equal(w.watched(client, secret).Auth.LeaseDuration, 3600, "lease duration by the watcher")
		}},
		{"approle login with a secret id that is used up", func(w *walk) {
			secretID := text(w.secretID(w.client, "approle").Data["secret_id"], "secret id")
			login := w.appRole("approle", &approle.SecretID{FromString: secretID})
			w.logIn(login)
			w.refusedLogin(login, http.StatusBadRequest, refusedRole)
			w.refusedLogin(w.appRole("approle", &approle.SecretID{FromString: "wrong"}), http.StatusBadRequest, refusedRole)
		}},
		{"approle login with a secret id from a file", func(w *walk) {
			secretID := text(w.secretID(w.client, "approle").Data["secret_id"], "secret id")
			inFile(secretID+"\n", func(file string) {
				w.logIn(w.appRole("approle", &approle.SecretID{FromFile: file}))
			})
		}},
		{"approle login with a secret id from the environment", func(w *walk) {
			secretID := text(w.secretID(w.client, "approle").Data["secret_id"], "secret id")
			inEnvironment(secretID, func(variable string) {
				w.logIn(w.appRole("approle", &approle.SecretID{FromEnv: variable}))
			})
		}},
		{"approle login with a wrapped secret id", func(w *walk) {
			token := w.secretID(w.wrapping(), "approle").WrapInfo.Token
			login := w.appRole("approle", &approle.SecretID{FromString: token}, approle.WithWrappingToken())
			w.logIn(login)
			w.refusedLogin(login, http.StatusBadRequest, "wrapping token is not valid or does not exist")
			inFile(w.secretID(w.wrapping(), "approle").WrapInfo.Token+"\n", func(file string) {
				w.logIn(w.appRole("approle", &approle.SecretID{FromFile: file}, approle.WithWrappingToken()))
			})
			inEnvironment(w.secretID(w.wrapping(), "approle").WrapInfo.Token, func(variable string) {
				w.logIn(w.appRole("approle", &approle.SecretID{FromEnv: variable}, approle.WithWrappingToken()))
			})
		}},
		{"approle login at another path", func(w *walk) {
			secretID := text(w.secretID(w.client, "machines").Data["secret_id"], "secret id")
			login := w.appRole("machines", &approle.SecretID{FromString: secretID}, approle.WithMountPath("machines"))
			client, _ := w.logIn(login)
			equal(data(client.Auth().Token().LookupSelf())["path"], "auth/machines/login", "path of the login")
		}},
		{"tokens of approle end with it", func(w *walk) {
			secretID := text(w.secretID(w.client, "machines").Data["secret_id"], "secret id")
			login := w.appRole("machines", &approle.SecretID{FromString: secretID}, approle.WithMountPath("machines"))
			client, _ := w.logIn(login)
			for _, path := range []string{"approle", "machines"} {
				noError(w.client.Sys().DisableAuth(path))
			}
			w.revoked(client.Token())
		}},
	}
}

// appRole is a login with the role of a mount.
func (w *walk) appRole(mount string, secretID *approle.SecretID, options ...approle.LoginOption) api.AuthMethod {
	roleID := text(data(w.client.Logical().Read("auth/" + mount + "/role/ci/role-id"))["role_id"], "role id")
	login, err := approle.NewAppRoleAuth(roleID, secretID, options...)
	noError(err)
	return login
}

// secretID issues a secret id of the role of a mount.
func (w *walk) secretID(client *api.Client, mount string) *api.Secret {
	return present(client.Logical().Write("auth/"+mount+"/role/ci/secret-id", nil))
}

// logIn logs in without a token, and gives the client with its new one.
func (w *walk) logIn(method api.AuthMethod) (*api.Client, *api.Secret) {
	client := w.as("")
	secret := present(client.Auth().Login(w.ctx, method))
	holds(secret.Auth != nil && secret.Auth.ClientToken != "", "no token: %#v", secret)
	equal(client.Token(), secret.Auth.ClientToken, "token of the client")
	return client, secret
}

// refusedLogin checks that a login fails and leaves no token.
func (w *walk) refusedLogin(method api.AuthMethod, status int, text string) {
	client := w.as("")
	_, err := client.Auth().Login(w.ctx, method)
	refused(err, status, text)
	// The client keeps the wrapping token that it unwrapped, which is used up.
	_, err = client.Auth().Token().LookupSelf()
	refused(err, http.StatusForbidden, "permission denied")
}

// inFile runs with a file of this text.
func inFile(text string, run func(file string)) {
	folder, err := os.MkdirTemp("", "login")
	noError(err)
	defer os.RemoveAll(folder)
	file := filepath.Join(folder, "secret")
	noError(os.WriteFile(file, []byte(text), 0o600))
	run(file)
}

// inEnvironment runs with an environment variable of this text.
func inEnvironment(text string, run func(variable string)) {
	const variable = "INTEROP_LOGIN_SECRET"
	noError(os.Setenv(variable, text))
	defer os.Unsetenv(variable)
	run(variable)
}
