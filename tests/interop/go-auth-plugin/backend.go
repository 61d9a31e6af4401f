package main

import (
	"context"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

// backend is one mount of the method; a process may hold several.
type backend struct {
	*framework.Backend
}

// Factory makes a mount. It must not touch storage.
func Factory(ctx context.Context, conf *logical.BackendConfig) (logical.Backend, error) {
	b := &backend{}
	b.Backend = &framework.Backend{
		Help: "Lets users in by their passwords, and shows how a host treats a login.",
		PathsSpecial: &logical.Paths{
			Unauthenticated: []string{"login/*", "probe/open"},
			SealWrapStorage: []string{userFolder},
		},
		Paths: []*framework.Path{
			b.pathUsersList(), b.pathUsers(), b.pathLogin(), b.pathProbe(),
		},
		BackendType:    logical.TypeCredential,
		AuthRenew:      b.renew,
		RunningVersion: version,
	}
	if err := b.Setup(ctx, conf); err != nil {
		return nil, err
	}
	return b, nil
}
