package main

import (
	"net/http"

	"github.com/hashicorp/vault/api"
)

func wrappingSteps() []step {
	return []step{
		{"wrap and unwrap", func(w *walk) {
			info := w.wrap("kv/plain")
			equal(info.TTL, 300, "ttl")
			equal(info.CreationPath, "kv/plain", "creation path")
			found := data(w.client.Logical().Write("sys/wrapping/lookup", map[string]any{"token": info.Token}))
			equal(number(found["creation_ttl"], "creation ttl"), 300, "creation ttl")
			equal(data(w.client.Logical().Unwrap(info.Token))["value"], "kept", "value")
			_, err := w.client.Logical().Unwrap(info.Token)
			refused(err, http.StatusBadRequest, "wrapping token is not valid or does not exist")
		}},
		{"unwrap as the wrapping token", func(w *walk) {
			secret := present(w.as(w.wrap("kv/plain").Token).Logical().Unwrap(""))
			equal(secret.Data["value"], "kept", "value")
		}},
		{"rewrap", func(w *walk) {
			info := w.wrap("kv/plain")
			again := present(w.client.Logical().Write("sys/wrapping/rewrap", map[string]any{"token": info.Token}))
			_, err := w.client.Logical().Unwrap(info.Token)
			refused(err, http.StatusBadRequest, "wrapping token is not valid or does not exist")
			equal(data(w.client.Logical().Unwrap(again.WrapInfo.Token))["value"], "kept", "value")
		}},
		{"wrap a token", func(w *walk) {
			client := w.wrapping()
			made := present(client.Auth().Token().Create(&api.TokenCreateRequest{Policies: []string{"reader"}, TTL: "1h"}))
			holds(made.Auth == nil && made.WrapInfo != nil, "the token isn't wrapped: %#v", made)
			holds(made.WrapInfo.WrappedAccessor != "", "no accessor of what is wrapped")
			inside := present(w.client.Logical().Unwrap(made.WrapInfo.Token))
			equal(inside.Auth.Accessor, made.WrapInfo.WrappedAccessor, "accessor")
			data(w.as(inside.Auth.ClientToken).Auth().Token().LookupSelf())
		}},
		{"a wrapping token is good for nothing else", func(w *walk) {
			info := w.wrap("kv/plain")
			_, err := w.as(info.Token).Logical().Read("kv/plain")
			refused(err, http.StatusForbidden, "permission denied")
			_, err = w.client.Logical().Unwrap(info.Token)
			refused(err, http.StatusBadRequest, "wrapping token is not valid or does not exist")
		}},
	}
}

// wrapping is a client that asks for everything to be wrapped.
func (w *walk) wrapping() *api.Client {
	client := w.as(w.client.Token())
	client.SetWrappingLookupFunc(func(string, string) string { return "5m" })
	return client
}

// wrap reads a path, wrapped.
func (w *walk) wrap(path string) *api.SecretWrapInfo {
	secret := present(w.wrapping().Logical().Read(path))
	holds(secret.WrapInfo != nil && secret.Data == nil, "the answer isn't wrapped: %#v", secret)
	return secret.WrapInfo
}
