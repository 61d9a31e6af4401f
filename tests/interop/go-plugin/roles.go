package main

import (
	"context"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

const rolesPrefix = "roles/"

// role says what a token may do and how long it lives.
type role struct {
	Permissions []string `json:"permissions"`
	TTLSeconds  int64    `json:"ttl"`
}

func (r *role) ttl() time.Duration {
	return time.Duration(r.TTLSeconds) * time.Second
}

func (b *backend) pathRolesList() *framework.Path {
	return &framework.Path{
		Pattern: "roles/?$",
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ListOperation: &framework.PathOperation{Callback: b.rolesList},
		},
		HelpSynopsis: "The names of all roles.",
	}
}

func (b *backend) pathRoles() *framework.Path {
	return &framework.Path{
		Pattern: "roles/" + framework.GenericNameRegex("name"),
		Fields: map[string]*framework.FieldSchema{
			"name":        {Type: framework.TypeString, Description: "Name of the role"},
			"permissions": {Type: framework.TypeCommaStringSlice, Description: "What its tokens may do"},
			"ttl":         {Type: framework.TypeDurationSecond, Description: "How long its tokens live", Default: 3600},
		},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.CreateOperation: &framework.PathOperation{Callback: b.rolesWrite},
			logical.UpdateOperation: &framework.PathOperation{Callback: b.rolesWrite},
			logical.ReadOperation:   &framework.PathOperation{Callback: b.rolesRead},
			logical.DeleteOperation: &framework.PathOperation{Callback: b.rolesDelete},
		},
		ExistenceCheck: exists(roleKey),
		HelpSynopsis:   "What the tokens of a role may do and how long they live.",
	}
}

// rolesWrite keeps what an update doesn't name.
func (b *backend) rolesWrite(ctx context.Context, req *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	stored, err := getJSON[role](ctx, req.Storage, roleKey(data))
	if err != nil {
		return nil, err
	}
	if stored == nil {
		stored = &role{Permissions: []string{}, TTLSeconds: int64(data.GetDefaultOrZero("ttl").(int))}
	}
	if permissions, ok := data.GetOk("permissions"); ok {
		stored.Permissions = permissions.([]string)
	}
	if ttl, ok := data.GetOk("ttl"); ok {
		stored.TTLSeconds = int64(ttl.(int))
	}
	if stored.TTLSeconds < 0 {
		return logical.ErrorResponse("ttl must not be negative"), nil
	}
	return nil, putJSON(ctx, req.Storage, roleKey(data), stored)
}

func (b *backend) rolesRead(ctx context.Context, req *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	stored, err := getJSON[role](ctx, req.Storage, roleKey(data))
	if err != nil || stored == nil {
		return nil, err
	}
	return &logical.Response{Data: map[string]any{
		"permissions": stored.Permissions,
		"ttl":         stored.TTLSeconds,
	}}, nil
}

func (b *backend) rolesDelete(ctx context.Context, req *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	return nil, req.Storage.Delete(ctx, roleKey(data))
}

func (b *backend) rolesList(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	names, err := req.Storage.List(ctx, rolesPrefix)
	if err != nil {
		return nil, err
	}
	return logical.ListResponse(names), nil
}

func roleKey(data *framework.FieldData) string {
	return rolesPrefix + data.Get("name").(string)
}
