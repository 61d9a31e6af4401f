package main

import (
	"errors"
	"net/http"

	"github.com/hashicorp/vault/api"
)

func kv2Steps() []step {
	return []step{
		{"enable kv version 2", func(w *walk) {
			noError(w.client.Sys().Mount("kv2", &api.MountInput{Type: "kv", Options: map[string]string{"version": "2"}}))
			// A new engine may need a moment.
			eventually(func() bool {
				_, err := w.client.Logical().Read("kv2/config")
				return err == nil
			}, "the engine is ready")
		}},
		{"kv version 2: put and get", func(w *walk) {
			kv := w.client.KVv2("kv2")
			made, err := kv.Put(w.ctx, "a", map[string]any{"value": "first"}, api.WithCheckAndSet(0))
			noError(err)
			equal(made.VersionMetadata.Version, 1, "version")
			_, err = kv.Put(w.ctx, "a", map[string]any{"value": "other"}, api.WithCheckAndSet(0))
			refused(err, http.StatusBadRequest, "did not match the current version")
			_, err = kv.Put(w.ctx, "a", map[string]any{"value": "second", "drop": "x"})
			noError(err)
			got, err := kv.Get(w.ctx, "a")
			noError(err)
			equal(got.Data, map[string]any{"value": "second", "drop": "x"}, "data")
			equal(got.VersionMetadata.Version, 2, "version")
			holds(!got.VersionMetadata.CreatedTime.IsZero(), "no time of creation")
			got, err = kv.GetVersion(w.ctx, "a", 1)
			noError(err)
			equal(got.Data, map[string]any{"value": "first"}, "data of the first version")
			_, err = kv.Get(w.ctx, "none")
			holds(errors.Is(err, api.ErrSecretNotFound), "want not found, got %v", err)
		}},
		{"kv version 2: patch", func(w *walk) {
			kv := w.client.KVv2("kv2")
			for _, method := range []string{api.KVMergeMethodPatch, api.KVMergeMethodReadWrite} {
				_, err := kv.Patch(w.ctx, "a", map[string]any{"drop": nil, method: "y"}, api.WithMergeMethod(method))
				noError(err)
			}
			got, err := kv.Get(w.ctx, "a")
			noError(err)
			equal(got.Data["value"], "second", "a value that was left alone")
			equal(got.Data[api.KVMergeMethodPatch], "y", "a patched value")
			equal(got.VersionMetadata.Version, 4, "version")
			_, err = kv.Patch(w.ctx, "none", map[string]any{"a": "b"})
			holds(errors.Is(err, api.ErrSecretNotFound), "want not found, got %v", err)
		}},
		{"kv version 2: metadata", func(w *walk) {
			kv := w.client.KVv2("kv2")
			noError(kv.PutMetadata(w.ctx, "a", api.KVMetadataPutInput{
				CustomMetadata: map[string]any{"owner": "us", "team": "x"}, MaxVersions: 7,
			}))
			noError(kv.PatchMetadata(w.ctx, "a", api.KVMetadataPatchInput{CustomMetadata: map[string]any{"team": nil}}))
			told, err := kv.GetMetadata(w.ctx, "a")
			noError(err)
			equal(told.CustomMetadata, map[string]any{"owner": "us"}, "custom metadata")
			equal([]int{told.MaxVersions, told.CurrentVersion}, []int{7, 4}, "most versions and the current one")
			equal(len(told.Versions), 4, "number of versions")
			versions, err := kv.GetVersionsAsList(w.ctx, "a")
			noError(err)
			equal(versions[3].Version, 4, "the last version")
		}},
		{"kv version 2: delete, undelete, destroy, roll back", func(w *walk) {
			kv := w.client.KVv2("kv2")
			noError(kv.Delete(w.ctx, "a"))
			gone, err := kv.Get(w.ctx, "a")
			noError(err)
			equal(gone.Data, map[string]any(nil), "data of a deleted version")
			holds(!gone.VersionMetadata.DeletionTime.IsZero(), "no time of deletion")
			noError(kv.Undelete(w.ctx, "a", []int{4}))
			noError(kv.DeleteVersions(w.ctx, "a", []int{3}))
			noError(kv.Destroy(w.ctx, "a", []int{3}))
			gone, err = kv.GetVersion(w.ctx, "a", 3)
			noError(err)
			equal(gone.VersionMetadata.Destroyed, true, "destroyed")
			back, err := kv.Rollback(w.ctx, "a", 1)
			noError(err)
			equal(back.VersionMetadata.Version, 5, "version")
			got, err := kv.Get(w.ctx, "a")
			noError(err)
			equal(got.Data, map[string]any{"value": "first"}, "data after going back")
			noError(kv.DeleteMetadata(w.ctx, "a"))
			_, err = kv.Get(w.ctx, "a")
			holds(errors.Is(err, api.ErrSecretNotFound), "want not found, got %v", err)
		}},
	}
}
