package main

import (
	"context"
	"errors"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/helper/policyutil"
	"github.com/hashicorp/vault/sdk/logical"
	"golang.org/x/crypto/bcrypt"
)

func (b *backend) pathLogin() *framework.Path {
	return &framework.Path{
		Pattern: "login/" + framework.GenericNameRegex("name"),
		Fields: map[string]*framework.FieldSchema{
			"name":     {Type: framework.TypeString, Description: "Name of the user"},
			"password": {Type: framework.TypeString, Description: "What the user logs in with"},
			"fail":     {Type: framework.TypeString, Description: "Fail beside the login: error or response"},
		},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: &framework.PathOperation{Callback: b.login},
		},
		HelpSynopsis: "Lets a user in.",
	}
}

func (b *backend) login(ctx context.Context, req *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	name := data.Get("name").(string)
	known, err := getUser(ctx, req.Storage, name)
	if err != nil {
		return nil, err
	}
	if known == nil || bcrypt.CompareHashAndPassword(known.Hash, []byte(data.Get("password").(string))) != nil {
		return logical.ErrorResponse("invalid username or password"), nil
	}
	auth := &logical.Auth{
		InternalData: map[string]any{"name": name},
		Metadata:     map[string]string{"username": name},
		DisplayName:  name,
		Alias:        &logical.Alias{Name: name, Metadata: map[string]string{"kind": "user"}},
		LeaseOptions: logical.LeaseOptions{Renewable: true},
	}
	known.PopulateTokenAuth(auth)
	answer := &logical.Response{Auth: auth}
	switch data.Get("fail").(string) {
	case "error":
		return answer, errors.New("failed after all")
	case "response":
		answer.Data = map[string]any{"error": "refused after all"}
	}
	return answer, nil
}

// renew looks whether the user is still there, and may still do the same.
func (b *backend) renew(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	if req.Auth == nil {
		return nil, errors.New("request auth was nil")
	}
	name, ok := req.Auth.InternalData["name"].(string)
	if !ok {
		return nil, errors.New("the login has no name")
	}
	known, err := getUser(ctx, req.Storage, name)
	if err != nil || known == nil {
		return nil, err
	}
	if !policyutil.EquivalentPolicies(known.TokenPolicies, req.Auth.TokenPolicies) {
		return nil, errors.New("policies have changed, not renewing")
	}
	answer := &logical.Response{Auth: req.Auth}
	answer.Auth.Period = known.TokenPeriod
	answer.Auth.TTL = known.TokenTTL
	answer.Auth.MaxTTL = known.TokenMaxTTL
	return answer, nil
}
