package main

import (
	"context"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/helper/pluginutil"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/rotation"
)

// system asks the host everything a plug-in can ask. What the host refuses is in errors.
func (b *backend) system(ctx context.Context, req *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	view := b.System()
	errors := map[string]string{}
	answer := map[string]any{
		"default_lease_ttl": view.DefaultLeaseTTL().Seconds(),
		"max_lease_ttl":     view.MaxLeaseTTL().Seconds(),
		"tainted":           view.Tainted(),
		"caching_disabled":  view.CachingDisabled(),
		"local_mount":       view.LocalMount(),
		"mlock_enabled":     view.MlockEnabled(),
		"replication_state": view.ReplicationState(),
		"errors":            errors,
	}
	ask := func(name string, question func() (any, error)) {
		value, err := question()
		if err != nil {
			errors[name] = err.Error()
			return
		}
		answer[name] = value
	}
	ask("cluster_id", func() (any, error) { return view.ClusterID(ctx) })
	ask("plugin_env", func() (any, error) { return view.PluginEnv(ctx) })
	ask("entity", func() (any, error) { return view.EntityInfo(req.EntityID) })
	ask("groups", func() (any, error) { return view.GroupsForEntity(req.EntityID) })
	ask("password", func() (any, error) { return view.GeneratePasswordFromPolicy(ctx, data.Get("policy").(string)) })
	ask("wrapped", func() (any, error) {
		info, err := view.ResponseWrapData(ctx, map[string]any{"wrapped": "by the host"}, time.Minute, false)
		if err != nil {
			return nil, err
		}
		return map[string]any{"token": info.Token, "ttl_seconds": info.TTL.Seconds()}, nil
	})
	ask("identity_token", func() (any, error) {
		return view.GenerateIdentityToken(ctx, &pluginutil.IdentityTokenRequest{Audience: "interop", TTL: time.Minute})
	})
	ask("rotation", func() (any, error) {
		return view.GetRotationInformation(ctx, &rotation.RotationInfoRequest{ReqPath: req.Path})
	})
	return &logical.Response{Data: answer}, nil
}
