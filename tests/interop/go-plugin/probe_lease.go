package main

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

const (
	probeKind = "probe"
	staticKey = "static"
	// revokeAllowedKey is the storage entry that ends the failing of revocations.
	revokeAllowedKey = "leased/revoke-allowed"
)

// leasePaths are the two shapes of a read: one of a stored entry, one with a lease. Neither knows
// an outside system, so a benchmark of them is one of the host.
func (b *backend) leasePaths() []*framework.Path {
	static := &framework.Path{
		Pattern: "static",
		Fields: map[string]*framework.FieldSchema{
			"value": {Type: framework.TypeString, Description: "What reads answer"},
		},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation:   &framework.PathOperation{Callback: b.staticRead},
			logical.UpdateOperation: &framework.PathOperation{Callback: b.staticWrite},
		},
		HelpSynopsis: "A read that costs one read of storage.",
	}
	leased := &framework.Path{
		Pattern: "leased",
		Fields: map[string]*framework.FieldSchema{
			"ttl":         {Type: framework.TypeDurationSecond, Description: "TTL of the lease; 0 is the mount's"},
			"max_ttl":     {Type: framework.TypeDurationSecond, Description: "Maximum TTL of the lease; 0 is the mount's"},
			"note":        {Type: framework.TypeString, Description: "Storage gets renewed/<note> and revoked/<note> when that happens"},
			"fail_revoke": {Type: framework.TypeBool, Description: "Fail to revoke until storage has " + revokeAllowedKey},
		},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: &framework.PathOperation{Callback: b.leasedRead},
		},
		HelpSynopsis: "A read that answers a secret with a lease.",
	}
	return []*framework.Path{static, leased}
}

func (b *backend) staticRead(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	value, err := getJSON[string](ctx, req.Storage, staticKey)
	if err != nil || value == nil {
		return nil, err
	}
	return &logical.Response{Data: map[string]any{"value": *value}}, nil
}

func (b *backend) staticWrite(ctx context.Context, req *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	return nil, putJSON(ctx, req.Storage, staticKey, data.Get("value").(string))
}

func (b *backend) leasedRead(_ context.Context, _ *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	resp := b.Secret(probeKind).Response(
		map[string]any{"secret": "not much of one"},
		map[string]any{"note": data.Get("note"), "fail_revoke": data.Get("fail_revoke")},
	)
	resp.Secret.TTL = time.Duration(data.Get("ttl").(int)) * time.Second
	resp.Secret.MaxTTL = time.Duration(data.Get("max_ttl").(int)) * time.Second
	return resp, nil
}

func (b *backend) probeSecret() *framework.Secret {
	return &framework.Secret{
		Type: probeKind,
		Fields: map[string]*framework.FieldSchema{
			"secret": {Type: framework.TypeString, Description: "The secret"},
		},
		Renew:  b.probeRenew,
		Revoke: b.probeRevoke,
	}
}

func (b *backend) probeRenew(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	return &logical.Response{Secret: req.Secret}, b.note(ctx, req, "renewed/")
}

func (b *backend) probeRevoke(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	if failing, _ := req.Secret.InternalData["fail_revoke"].(bool); failing {
		entry, err := req.Storage.Get(ctx, revokeAllowedKey)
		if err != nil {
			return nil, err
		}
		if entry == nil {
			return nil, errors.New("revocation fails as it was asked to")
		}
	}
	return nil, b.note(ctx, req, "revoked/")
}

// note writes down what a host sent with a renewal or a revocation.
func (b *backend) note(ctx context.Context, req *logical.Request, prefix string) error {
	note, _ := req.Secret.InternalData["note"].(string)
	if note == "" {
		return nil
	}
	return putJSON(ctx, req.Storage, prefix+note, map[string]any{
		"path":              req.Path,
		"data":              req.Data,
		"lease_id_present":  req.Secret.LeaseID != "",
		"increment_seconds": req.Secret.Increment.Seconds(),
		"ttl_seconds":       req.Secret.TTL.Seconds(),
		"issue_time":        req.Secret.IssueTime,
	})
}
