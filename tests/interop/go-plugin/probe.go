package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/helper/wrapping"
	"github.com/hashicorp/vault/sdk/logical"
)

// probePaths are the paths that a token engine has no use for, and a test of its host has.
func (b *backend) probePaths() []*framework.Path {
	return framework.PathAppend([]*framework.Path{
		probe("echo(/(?P<rest>.*))?", "Answers what the plug-in got.", b.echo,
			logical.ReadOperation, logical.UpdateOperation, logical.PatchOperation, logical.ListOperation, logical.DeleteOperation),
		probe("open(-under/.*|-one/.*)?", "The same as echo, without a token.", b.echo,
			logical.ReadOperation, logical.UpdateOperation),
		probe("rooted(-under/.*)?", "The same as echo, with sudo.", b.echo,
			logical.ReadOperation, logical.UpdateOperation),
		probe("panic(/(?P<how>.*))?", "Ends the process in the middle of a request: panic, panic/exit.", b.panic,
			logical.ReadOperation, logical.UpdateOperation),
		probe("sleep/(?P<seconds>[0-9.]+)", "Answers after so many seconds.", b.sleep,
			logical.ReadOperation, logical.UpdateOperation),
		probe("raw(/(?P<how>.*))?", "A raw HTTP answer: 418, or raw/no-content, raw/no-type, raw/leased.", b.raw,
			logical.ReadOperation, logical.UpdateOperation),
		probe("redirect", "Redirects to a URL.", b.redirect,
			logical.ReadOperation, logical.UpdateOperation),
		probe("wrapped", "Has its answer wrapped for a minute.", b.wrapped,
			logical.ReadOperation, logical.UpdateOperation),
		probe("event", "Sends an event, and answers what the host says to that.", b.event,
			logical.ReadOperation, logical.UpdateOperation),
		probe("log", "Logs once at each level.", b.log,
			logical.ReadOperation, logical.UpdateOperation),
		probe("print", "Prints to standard output and standard error.", b.print,
			logical.ReadOperation, logical.UpdateOperation),
		probe("system", "What the host says of itself.", b.system,
			logical.ReadOperation, logical.UpdateOperation),
		probe("error/(?P<kind>[a-z-]+)/?", "An error, or an answer that is nearly none.", b.fail,
			logical.ReadOperation, logical.UpdateOperation, logical.ListOperation, logical.DeleteOperation),
	}, b.storagePaths(), b.leasePaths())
}

// probe is a path that takes any field. It has no existence check, so writes are updates.
func probe(pattern, help string, handle framework.OperationFunc, operations ...logical.Operation) *framework.Path {
	path := &framework.Path{
		Pattern:             pattern,
		TakesArbitraryInput: true,
		Operations:          map[logical.Operation]framework.OperationHandler{},
		HelpSynopsis:        help,
		Fields: map[string]*framework.FieldSchema{
			"rest":    {Type: framework.TypeString, Description: "What follows in the path"},
			"how":     {Type: framework.TypeString, Description: "Which of them"},
			"kind":    {Type: framework.TypeString, Description: "Which of them"},
			"seconds": {Type: framework.TypeFloat, Description: "How long"},
			"message": {Type: framework.TypeString, Description: "What to say", Default: "a message"},
			"code":    {Type: framework.TypeInt, Description: "HTTP status", Default: http.StatusUnavailableForLegalReasons},
			"policy":  {Type: framework.TypeString, Description: "Password policy to make a password by"},
			"warning": {Type: framework.TypeString, Description: "Warning to add"},
		},
	}
	for _, operation := range operations {
		path.Operations[operation] = &framework.PathOperation{Callback: handle}
	}
	return path
}

// echo answers what came over the wire, and whether a client token did.
func (b *backend) echo(_ context.Context, req *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	got := map[string]any{
		"operation":             req.Operation,
		"path":                  req.Path,
		"data":                  req.Data,
		"headers":               req.Headers,
		"request_id_present":    req.ID != "",
		"client_token_present":  req.ClientToken != "",
		"client_token_length":   len(req.ClientToken),
		"accessor_present":      req.ClientTokenAccessor != "",
		"display_name":          req.DisplayName,
		"entity_id":             req.EntityID,
		"mount_point":           req.MountPoint,
		"mount_type":            req.MountType,
		"mount_accessor":        req.MountAccessor,
		"unauthenticated":       req.Unauthenticated,
		"policy_override":       req.PolicyOverride,
		"remaining_uses":        req.ClientTokenRemainingUses,
		"secret_present":        req.Secret != nil,
		"auth_present":          req.Auth != nil,
		"connection_present":    req.Connection != nil,
		"plugin_version":        version,
		"plugin_pid":            os.Getpid(),
		"wrap_info_ttl_seconds": nil,
	}
	if req.Connection != nil {
		got["remote_addr"] = req.Connection.RemoteAddr
		got["remote_port"] = req.Connection.RemotePort
		got["tls_present"] = req.Connection.ConnState != nil
	}
	if req.WrapInfo != nil {
		got["wrap_info_ttl_seconds"] = req.WrapInfo.TTL.Seconds()
	}
	resp := &logical.Response{
		Data:    got,
		Headers: map[string][]string{"X-Interop-Answer": {"from the plug-in"}},
	}
	if warning := data.Get("warning").(string); warning != "" {
		resp.AddWarning(warning)
	}
	return resp, nil
}

// panic ends the process: the Go SDK catches nothing.
func (b *backend) panic(_ context.Context, _ *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	if data.Get("how").(string) == "exit" {
		os.Exit(3)
	}
	panic(data.Get("message").(string))
}

// sleep ends early when the host gives up.
func (b *backend) sleep(ctx context.Context, _ *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	seconds := data.Get("seconds").(float64)
	select {
	case <-ctx.Done():
		b.Logger().Info("sleep interrupted", "cause", ctx.Err().Error())
		return nil, ctx.Err()
	case <-time.After(time.Duration(seconds * float64(time.Second))):
		return &logical.Response{Data: map[string]any{"slept": seconds, "plugin_pid": os.Getpid()}}, nil
	}
}

func (b *backend) raw(_ context.Context, _ *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	resp := &logical.Response{Data: map[string]any{
		logical.HTTPStatusCode:         http.StatusTeapot,
		logical.HTTPContentType:        "text/plain",
		logical.HTTPRawBody:            []byte("short and stout\n"),
		logical.HTTPCacheControlHeader: "max-age=7",
	}}
	switch data.Get("how").(string) {
	case "no-content":
		resp.Data = map[string]any{logical.HTTPStatusCode: http.StatusNoContent}
	case "no-type":
		delete(resp.Data, logical.HTTPContentType)
	case "leased":
		resp.Secret = b.Secret(probeKind).Response(nil, nil).Secret
	}
	return resp, nil
}

// redirect sends the client to the URL of message. Its data and warning must not reach the client.
func (b *backend) redirect(_ context.Context, _ *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	return &logical.Response{
		Redirect: data.Get("message").(string),
		Data:     map[string]any{"dropped": "data"},
		Warnings: []string{"dropped"},
	}, nil
}

func (b *backend) wrapped(_ context.Context, _ *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	return &logical.Response{
		Data:     map[string]any{"wrapped": "by the plug-in's wish"},
		WrapInfo: &wrapping.ResponseWrapInfo{TTL: time.Minute, Token: "chosen by the plug-in"},
	}, nil
}

func (b *backend) event(ctx context.Context, _ *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	err := b.SendEvent(ctx, "guide/probed", &logical.EventData{Id: "1"})
	if err != nil {
		return &logical.Response{Data: map[string]any{"event_error": err.Error()}}, nil
	}
	return &logical.Response{Data: map[string]any{"event_error": ""}}, nil
}

func (b *backend) log(_ context.Context, _ *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	message := data.Get("message").(string)
	for _, level := range []hclog.Level{hclog.Trace, hclog.Debug, hclog.Info, hclog.Warn, hclog.Error} {
		b.Logger().Log(level, message, "level_asked", level.String(), "number", 7)
	}
	return nil, nil
}

func (b *backend) print(_ context.Context, _ *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	message := data.Get("message").(string)
	fmt.Fprintln(os.Stdout, "stdout:", message)
	fmt.Fprintln(os.Stderr, "stderr:", message)
	return nil, nil
}
