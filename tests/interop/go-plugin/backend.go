package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

// backend is one mount of the engine; a process may hold several.
type backend struct {
	*framework.Backend
}

// Factory makes a mount. It must not touch storage: a host also calls it to learn the version,
// and then there is none.
func Factory(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
	b := &backend{}
	b.Backend = &framework.Backend{
		Help: "Brokers tokens of a token service, and shows how a host treats plug-ins.",
		PathsSpecial: &logical.Paths{
			Root:            []string{"rooted", "rooted-under/*"},
			Unauthenticated: []string{"open", "open-under/*", "open-one/+/end", "redirect"},
			SealWrapStorage: []string{configKey},
			LocalStorage:    []string{framework.WALPrefix},
		},
		Paths: framework.PathAppend(
			[]*framework.Path{b.pathConfig(), b.pathRolesList(), b.pathRoles(), b.pathCreds()},
			b.probePaths(),
		),
		Secrets:           []*framework.Secret{b.tokenSecret(), b.probeSecret()},
		BackendType:       logical.TypeLogical,
		RunningVersion:    version,
		WALRollback:       b.rollback,
		WALRollbackMinAge: time.Minute,
		InitializeFunc: func(ctx context.Context, req *logical.InitializationRequest) error {
			return putJSON(ctx, req.Storage, "lifecycle/initialized", version)
		},
		PeriodicFunc: func(ctx context.Context, req *logical.Request) error {
			return putJSON(ctx, req.Storage, "lifecycle/periodic", version)
		},
		Invalidate: func(_ context.Context, key string) { b.Logger().Info("invalidated", "key", key) },
		Clean:      func(context.Context) { b.Logger().Info("cleaned up") },
	}
	if err := b.Setup(ctx, conf); err != nil {
		return nil, err
	}
	return b, nil
}

// exists is the existence check of a path that is one stored document.
func exists(key func(*framework.FieldData) string) framework.ExistenceFunc {
	return func(ctx context.Context, req *logical.Request, data *framework.FieldData) (bool, error) {
		entry, err := req.Storage.Get(ctx, key(data))
		return entry != nil, err
	}
}

// getJSON reads a stored document; nil means there is none.
func getJSON[T any](ctx context.Context, storage logical.Storage, key string) (*T, error) {
	entry, err := storage.Get(ctx, key)
	if err != nil || entry == nil {
		return nil, err
	}
	var value T
	// Not entry.DecodeJSON's untyped numbers: into a struct there is nothing to mistake.
	if err := json.Unmarshal(entry.Value, &value); err != nil {
		return nil, fmt.Errorf("stored %s can't be read: %w", key, err)
	}
	return &value, nil
}

func putJSON(ctx context.Context, storage logical.Storage, key string, value any) error {
	entry, err := logical.StorageEntryJSON(key, value)
	if err != nil {
		return err
	}
	return storage.Put(ctx, entry)
}
