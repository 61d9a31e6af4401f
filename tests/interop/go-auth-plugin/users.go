package main

import (
	"context"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/helper/tokenutil"
	"github.com/hashicorp/vault/sdk/logical"
	"golang.org/x/crypto/bcrypt"
)

const userFolder = "user/"

// user is what is stored of one: the hash of a password, and the terms of tokens.
type user struct {
	tokenutil.TokenParams
	Hash []byte `json:"hash"`
}

func key(name string) string {
	return userFolder + strings.ToLower(name)
}

func getUser(ctx context.Context, storage logical.Storage, name string) (*user, error) {
	entry, err := storage.Get(ctx, key(name))
	if err != nil || entry == nil {
		return nil, err
	}
	found := &user{}
	return found, entry.DecodeJSON(found)
}

func (b *backend) pathUsersList() *framework.Path {
	return &framework.Path{
		Pattern: "users/?$",
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ListOperation: &framework.PathOperation{Callback: b.usersList},
		},
		HelpSynopsis: "The names of all users.",
	}
}

func (b *backend) pathUsers() *framework.Path {
	fields := map[string]*framework.FieldSchema{
		"name":     {Type: framework.TypeString, Description: "Name of the user"},
		"password": {Type: framework.TypeString, Description: "What the user logs in with"},
	}
	tokenutil.AddTokenFields(fields)
	return &framework.Path{
		Pattern: "users/" + framework.GenericNameRegex("name"),
		Fields:  fields,
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.CreateOperation: &framework.PathOperation{Callback: b.usersWrite},
			logical.UpdateOperation: &framework.PathOperation{Callback: b.usersWrite},
			logical.ReadOperation:   &framework.PathOperation{Callback: b.usersRead},
			logical.DeleteOperation: &framework.PathOperation{Callback: b.usersDelete},
		},
		ExistenceCheck: func(ctx context.Context, req *logical.Request, data *framework.FieldData) (bool, error) {
			found, err := getUser(ctx, req.Storage, data.Get("name").(string))
			return found != nil, err
		},
		HelpSynopsis: "A user, a password and the terms of tokens.",
	}
}

func (b *backend) usersList(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	names, err := req.Storage.List(ctx, userFolder)
	if err != nil {
		return nil, err
	}
	return logical.ListResponse(names), nil
}

// usersWrite keeps what an update doesn't name.
func (b *backend) usersWrite(ctx context.Context, req *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	name := data.Get("name").(string)
	known, err := getUser(ctx, req.Storage, name)
	if err != nil {
		return nil, err
	}
	if known == nil {
		known = &user{}
	}
	if err := known.ParseTokenFields(req, data); err != nil {
		return logical.ErrorResponse(err.Error()), logical.ErrInvalidRequest
	}
	if password, ok := data.GetOk("password"); ok {
		if known.Hash, err = bcrypt.GenerateFromPassword([]byte(password.(string)), bcrypt.MinCost); err != nil {
			return nil, err
		}
	}
	if known.Hash == nil {
		return logical.ErrorResponse("missing password"), nil
	}
	entry, err := logical.StorageEntryJSON(key(name), known)
	if err != nil {
		return nil, err
	}
	return nil, req.Storage.Put(ctx, entry)
}

// usersRead never shows the hash.
func (b *backend) usersRead(ctx context.Context, req *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	known, err := getUser(ctx, req.Storage, data.Get("name").(string))
	if err != nil || known == nil {
		return nil, err
	}
	shown := map[string]any{}
	known.PopulateTokenData(shown)
	return &logical.Response{Data: shown}, nil
}

func (b *backend) usersDelete(ctx context.Context, req *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	return nil, req.Storage.Delete(ctx, key(data.Get("name").(string)))
}
