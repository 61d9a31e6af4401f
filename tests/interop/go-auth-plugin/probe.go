package main

import (
	"context"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

// pathProbe shows what reached the plug-in.
func (b *backend) pathProbe() *framework.Path {
	return &framework.Path{
		Pattern: "probe/(open|closed)",
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: &framework.PathOperation{Callback: b.probe},
		},
		HelpSynopsis: "What a request looks like from in here.",
	}
}

func (b *backend) probe(_ context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	return &logical.Response{
		Data: map[string]any{
			"headers":     req.Headers,
			"token":       req.ClientToken,
			"accessor":    req.ClientTokenAccessor,
			"mount_point": req.MountPoint,
		},
		Headers: map[string][]string{"X-Probe": {"yes"}, "Set-Cookie": {"a=b"}},
	}, nil
}
