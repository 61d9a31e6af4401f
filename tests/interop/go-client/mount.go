package main

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/hashicorp/vault/api"
)

func mountSteps() []step {
	return []step{
		{"mounts at the start", func(w *walk) {
			mounts, err := w.client.Sys().ListMounts()
			noError(err)
			holds(mounts["sys/"] != nil, "no mount at sys/")
			equal(mounts["sys/"].Type, "system", "type of sys/")
			methods, err := w.client.Sys().ListAuth()
			noError(err)
			holds(methods["token/"] != nil, "no auth method at token/")
			equal(methods["token/"].Type, "token", "type of token/")
		}},
		{"enable kv version 1", func(w *walk) {
			kv := &api.MountInput{Type: "kv", Description: "plain", Options: map[string]string{"version": "1"}}
			noError(w.client.Sys().Mount("kv", kv))
			mounts, err := w.client.Sys().ListMounts()
			noError(err)
			mount := mounts["kv/"]
			holds(mount != nil, "no mount at kv/")
			equal(mount.Type, "kv", "type")
			equal(mount.Description, "plain", "description")
			equal(mount.Options["version"], "1", "version")
			holds(mount.UUID != "" && mount.Accessor != "", "no uuid or accessor")
			equal(mount.Config.DefaultLeaseTTL, 0, "default TTL as mounted")
			tuned, err := w.client.Sys().MountConfig("kv")
			noError(err)
			equal(tuned.DefaultLeaseTTL, 2764800, "default TTL in effect")
			equal(tuned.MaxLeaseTTL, 2764800, "maximum TTL in effect")
			refused(w.client.Sys().Mount("kv", kv), http.StatusBadRequest, "path is already in use at kv/")
			refused(w.client.Sys().Mount("none", &api.MountInput{Type: "no-such"}), http.StatusBadRequest, "plugin not found in the catalog: no-such")
		}},
		{"kv put and get", func(w *walk) {
			kv := w.client.KVv1("kv")
			noError(kv.Put(w.ctx, "plain", map[string]any{"value": "first", "other": true}))
			noError(kv.Put(w.ctx, "plain", map[string]any{
				"value":  "kept",
				"number": json.Number("12345678901234567890"),
				"nested": map[string]any{"list": []any{"<a>&b", nil}},
			}))
			got, err := kv.Get(w.ctx, "plain")
			noError(err)
			equal(got.Data, map[string]any{
				"value":  "kept",
				"number": json.Number("12345678901234567890"),
				"nested": map[string]any{"list": []any{"<a>&b", nil}},
			}, "data")
			equal(got.Raw.LeaseID, "", "lease id")
			equal(got.Raw.LeaseDuration, 2764800, "lease duration")
			holds(got.Raw.RequestID != "", "no request id")
			_, err = w.client.Logical().Write("kv/plain", nil)
			refused(err, http.StatusBadRequest, "missing data fields")
		}},
		{"kv list", func(w *walk) {
			noError(w.client.KVv1("kv").Put(w.ctx, "folder/one", map[string]any{"a": "b"}))
			noError(w.client.KVv1("kv").Put(w.ctx, "folder/two", map[string]any{"a": "b"}))
			equal(texts(data(w.client.Logical().List("kv"))["keys"], "keys"), []string{"folder/", "plain"}, "keys")
			equal(texts(data(w.client.Logical().List("kv/folder"))["keys"], "keys"), []string{"one", "two"}, "keys of the folder")
			absent(w.client.Logical().List("kv/nothing"))
		}},
		{"kv delete", func(w *walk) {
			kv := w.client.KVv1("kv")
			noError(kv.Delete(w.ctx, "folder/one"))
			noError(kv.Delete(w.ctx, "folder/one"))
			_, err := kv.Get(w.ctx, "folder/one")
			holds(errors.Is(err, api.ErrSecretNotFound), "want not found, got %v", err)
			equal(texts(data(w.client.Logical().List("kv/folder"))["keys"], "keys"), []string{"two"}, "keys")
			noError(kv.Delete(w.ctx, "folder/two"))
			absent(w.client.Logical().List("kv/folder"))
		}},
		{"an unknown mount", func(w *walk) {
			_, err := w.client.Logical().Write("nowhere/x", map[string]any{"a": "b"})
			refused(err, http.StatusNotFound, `no handler for route "nowhere/x"`)
		}},
	}
}
