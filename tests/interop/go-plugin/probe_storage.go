package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

// maxMade bounds what a single request makes the plug-in store.
const maxMade = 64 << 20

// storagePaths show the mount's own storage as the plug-in sees it.
func (b *backend) storagePaths() []*framework.Path {
	storage := &framework.Path{
		Pattern: "storage/(?P<key>.*)",
		Fields: map[string]*framework.FieldSchema{
			"key":       {Type: framework.TypeString, Description: "Storage key, as the path has it"},
			"raw_key":   {Type: framework.TypeString, Description: "Storage key that no path could carry, such as ../x"},
			"value":     {Type: framework.TypeString, Description: "Text to store"},
			"base64":    {Type: framework.TypeString, Description: "Bytes to store, in base64"},
			"size":      {Type: framework.TypeInt, Description: "Store so many bytes, made here"},
			"seal_wrap": {Type: framework.TypeBool, Description: "Ask for the seal's own encryption"},
			"short":     {Type: framework.TypeBool, Description: "Answer size and hash, not the bytes"},
		},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation:   &framework.PathOperation{Callback: b.storageRead},
			logical.UpdateOperation: &framework.PathOperation{Callback: b.storageWrite},
			logical.DeleteOperation: &framework.PathOperation{Callback: b.storageDelete},
			logical.ListOperation:   &framework.PathOperation{Callback: b.storageList},
		},
		HelpSynopsis: "The mount's storage, entry by entry.",
	}
	return []*framework.Path{storage}
}

func (b *backend) storageRead(ctx context.Context, req *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	entry, err := req.Storage.Get(ctx, storageKey(data))
	if err != nil || entry == nil {
		return nil, err
	}
	digest := sha256.Sum256(entry.Value)
	answer := map[string]any{
		"key":       entry.Key,
		"size":      len(entry.Value),
		"sha256":    hex.EncodeToString(digest[:]),
		"seal_wrap": entry.SealWrap,
	}
	if !data.Get("short").(bool) {
		answer["base64"] = base64.StdEncoding.EncodeToString(entry.Value)
	}
	return &logical.Response{Data: answer}, nil
}

func (b *backend) storageWrite(ctx context.Context, req *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	value := []byte(data.Get("value").(string))
	if text, ok := data.GetOk("base64"); ok {
		decoded, err := base64.StdEncoding.DecodeString(text.(string))
		if err != nil {
			return logical.ErrorResponse("base64 is not base64"), nil
		}
		value = decoded
	}
	if size, ok := data.GetOk("size"); ok {
		if size.(int) < 0 || size.(int) > maxMade {
			return logical.ErrorResponse("size must be 0 to %d", maxMade), nil
		}
		value = bytes.Repeat([]byte{'x'}, size.(int))
	}
	return nil, req.Storage.Put(ctx, &logical.StorageEntry{
		Key:      storageKey(data),
		Value:    value,
		SealWrap: data.Get("seal_wrap").(bool),
	})
}

func (b *backend) storageDelete(ctx context.Context, req *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	return nil, req.Storage.Delete(ctx, storageKey(data))
}

func (b *backend) storageList(ctx context.Context, req *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	keys, err := req.Storage.List(ctx, storageKey(data))
	if err != nil {
		return nil, err
	}
	return logical.ListResponse(keys), nil
}

func storageKey(data *framework.FieldData) string {
	if key, ok := data.GetOk("raw_key"); ok {
		return key.(string)
	}
	return data.Get("key").(string)
}
