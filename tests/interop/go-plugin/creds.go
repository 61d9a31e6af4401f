package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

const (
	credsPrefix = "creds/"
	tokenKind   = "token"
)

// errNotConfigured is for renewals and revocations, where the answer goes to the host.
var errNotConfigured = errors.New("the engine has no config")

func (b *backend) pathCreds() *framework.Path {
	return &framework.Path{
		Pattern: "creds/" + framework.GenericNameRegex("name"),
		Fields: map[string]*framework.FieldSchema{
			"name": {Type: framework.TypeString, Description: "Name of the role"},
		},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: &framework.PathOperation{Callback: b.credsRead},
		},
		HelpSynopsis: "Makes a token of a role.",
	}
}

// tokenSecret is the lease of a token. It keeps the token's id, never the token.
func (b *backend) tokenSecret() *framework.Secret {
	return &framework.Secret{
		Type: tokenKind,
		Fields: map[string]*framework.FieldSchema{
			"token": {Type: framework.TypeString, Description: "The token"},
		},
		Renew:  b.tokenRenew,
		Revoke: b.tokenRevoke,
	}
}

// credsRead makes a token. Its name is written down first, so that a token whose answer was lost
// is found by rollback and deleted.
func (b *backend) credsRead(ctx context.Context, req *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	name := data.Get("name").(string)
	stored, err := getJSON[role](ctx, req.Storage, rolesPrefix+name)
	if err != nil {
		return nil, err
	}
	if stored == nil {
		return logical.ErrorResponse("role %q not found", name), nil
	}
	service, err := b.service(ctx, req.Storage)
	if err != nil {
		return nil, err
	}
	if service == nil {
		return logical.ErrorResponse("configure the engine first: write %sconfig", req.MountPoint), nil
	}
	ttl, _, err := framework.CalculateTTL(b.System(), 0, stored.ttl(), 0, 0, 0, time.Time{})
	if err != nil {
		return nil, err
	}
	unique, err := uuid.GenerateUUID()
	if err != nil {
		return nil, err
	}
	tokenName := fmt.Sprintf("vault-%s-%s", name, unique)
	wal, err := framework.PutWAL(ctx, req.Storage, tokenKind, map[string]string{"name": tokenName})
	if err != nil {
		return nil, err
	}
	made, err := service.create(ctx, tokenName, stored.Permissions, ttl)
	if err != nil {
		return nil, err
	}
	if err := framework.DeleteWAL(ctx, req.Storage, wal); err != nil {
		return nil, err
	}
	resp := b.Secret(tokenKind).Response(
		map[string]any{"token": made.Token, "permissions": stored.Permissions},
		map[string]any{"id": made.ID},
	)
	resp.Secret.TTL = ttl
	return resp, nil
}

// tokenRenew moves the token's own expiry along with the lease's.
func (b *backend) tokenRenew(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	id, service, err := b.leased(ctx, req)
	if err != nil {
		return nil, err
	}
	name := strings.TrimPrefix(req.Path, credsPrefix)
	stored, err := getJSON[role](ctx, req.Storage, rolesPrefix+name)
	if err != nil {
		return nil, err
	}
	if stored == nil {
		return logical.ErrorResponse("role %q not found", name), nil
	}
	ttl, _, err := framework.CalculateTTL(b.System(), req.Secret.Increment, stored.ttl(), 0, 0, 0, req.Secret.IssueTime)
	if err != nil {
		return nil, err
	}
	if err := service.renew(ctx, id, ttl); err != nil {
		return nil, err
	}
	req.Secret.TTL = ttl
	return &logical.Response{Secret: req.Secret}, nil
}

// tokenRevoke deletes the token; one that is already gone is as good.
func (b *backend) tokenRevoke(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	id, service, err := b.leased(ctx, req)
	if err != nil {
		return nil, err
	}
	return nil, service.delete(ctx, id)
}

// rollback deletes what a credsRead that never finished may have made.
func (b *backend) rollback(ctx context.Context, req *logical.Request, kind string, data any) error {
	entry, _ := data.(map[string]any)
	name, _ := entry["name"].(string)
	if kind != tokenKind || name == "" {
		return fmt.Errorf("unknown write-ahead entry of kind %q", kind)
	}
	service, err := b.service(ctx, req.Storage)
	if err != nil {
		return err
	}
	if service == nil {
		return errNotConfigured
	}
	found, err := service.find(ctx, name)
	if err != nil {
		return err
	}
	for _, token := range found {
		if err := service.delete(ctx, token.ID); err != nil {
			return err
		}
	}
	return nil
}

// leased reads what a lease keeps.
func (b *backend) leased(ctx context.Context, req *logical.Request) (string, *tokenService, error) {
	id, ok := req.Secret.InternalData["id"].(string)
	if !ok || id == "" {
		return "", nil, errors.New("the lease holds no token id")
	}
	service, err := b.service(ctx, req.Storage)
	if err == nil && service == nil {
		err = errNotConfigured
	}
	return id, service, err
}

// service is the configured token service, nil if there is none.
func (b *backend) service(ctx context.Context, storage logical.Storage) (*tokenService, error) {
	conf, err := getJSON[config](ctx, storage, configKey)
	if err != nil || conf == nil {
		return nil, err
	}
	return &tokenService{config: *conf}, nil
}
