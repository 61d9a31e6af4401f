package main

import (
	"context"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

const configKey = "config"

// config says where the token service is and what it wants to see.
type config struct {
	APIEndpoint string `json:"api_endpoint"`
	APIKey      string `json:"api_key"`
}

func (b *backend) pathConfig() *framework.Path {
	return &framework.Path{
		Pattern: "config",
		Fields: map[string]*framework.FieldSchema{
			"api_endpoint": {Type: framework.TypeString, Description: "URL of the token service", Required: true},
			"api_key": {
				Type:         framework.TypeString,
				Description:  "Key for the token service",
				Required:     true,
				DisplayAttrs: &framework.DisplayAttributes{Sensitive: true},
			},
		},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.CreateOperation: &framework.PathOperation{Callback: b.configWrite},
			logical.UpdateOperation: &framework.PathOperation{Callback: b.configWrite},
			logical.ReadOperation:   &framework.PathOperation{Callback: b.configRead},
		},
		ExistenceCheck: exists(func(*framework.FieldData) string { return configKey }),
		HelpSynopsis:   "Where the token service is, and its key.",
	}
}

// configWrite keeps what an update doesn't name.
func (b *backend) configWrite(ctx context.Context, req *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	conf, err := getJSON[config](ctx, req.Storage, configKey)
	if err != nil {
		return nil, err
	}
	if conf == nil {
		conf = &config{}
	}
	if endpoint, ok := data.GetOk("api_endpoint"); ok {
		conf.APIEndpoint = endpoint.(string)
	}
	if key, ok := data.GetOk("api_key"); ok {
		conf.APIKey = key.(string)
	}
	if conf.APIEndpoint == "" || conf.APIKey == "" {
		return logical.ErrorResponse("api_endpoint and api_key are required"), nil
	}
	entry, err := logical.StorageEntryJSON(configKey, conf)
	if err != nil {
		return nil, err
	}
	entry.SealWrap = true
	return nil, req.Storage.Put(ctx, entry)
}

// configRead never shows the key.
func (b *backend) configRead(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	conf, err := getJSON[config](ctx, req.Storage, configKey)
	if err != nil || conf == nil {
		return nil, err
	}
	return &logical.Response{Data: map[string]any{"api_endpoint": conf.APIEndpoint}}, nil
}
