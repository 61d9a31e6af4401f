package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/plugin"
)

const (
	defaultTTL = 24 * time.Hour
	maxTTL     = 48 * time.Hour
)

// mount is a backend with storage of its own.
type mount struct {
	ctx     context.Context
	path    string
	backend logical.Backend
	storage *logical.InmemStorage
}

// open does what a server does up to the set-up call. metadata is the mode in which hosts of
// protocols 3 and 4 start a plug-in only to ask what it is.
func (w *walk) open(path string, metadata bool) *mount {
	id, err := uuid.GenerateUUID()
	noError(err)
	m := &mount{ctx: w.ctx, path: path, storage: &logical.InmemStorage{}}
	config := &logical.BackendConfig{
		StorageView: m.storage,
		Logger:      w.host.logger(),
		System:      w.host,
		BackendUUID: id,
		Config:      map[string]string{"plugin_name": pluginName, "plugin_type": w.host.kind.String(), "plugin_version": ""},
	}
	if w.mode == autoMTLS {
		m.backend, err = plugin.NewBackendV5(w.ctx, pluginName, w.host.kind, "", w.host, config)
	} else {
		m.backend, err = plugin.NewBackend(w.ctx, pluginName, w.host.kind, w.host, config, metadata)
	}
	noError(err)
	noError(m.backend.Setup(w.ctx, config))
	return m
}

func (m *mount) request(operation logical.Operation, path string, data map[string]any) *logical.Request {
	id, err := uuid.GenerateUUID()
	noError(err)
	return &logical.Request{
		ID: id, Operation: operation, Path: path, Data: data,
		MountPoint: m.path, MountType: pluginName, MountAccessor: pluginName + "_0a1b2c3d",
		ClientToken: "b0ba", DisplayName: "token",
	}
}

func (m *mount) ask(operation logical.Operation, path string, data map[string]any) (*logical.Response, error) {
	return m.backend.HandleRequest(m.ctx, m.request(operation, path, data))
}

// exists is the answer of the existence check, which a server asks for before each write.
func (m *mount) exists(path string, data map[string]any) (checked, exists bool) {
	checked, exists, err := m.backend.HandleExistenceCheck(m.ctx, m.request(logical.UpdateOperation, path, data))
	noError(err)
	return checked, exists
}

// write creates or updates, as the existence check says.
func (m *mount) write(path string, data map[string]any) (*logical.Response, error) {
	var operation logical.Operation = logical.UpdateOperation
	if checked, exists := m.exists(path, data); checked && !exists {
		operation = logical.CreateOperation
	}
	return m.ask(operation, path, data)
}

func (m *mount) read(path string) (*logical.Response, error) {
	return m.ask(logical.ReadOperation, path, nil)
}

// data is the data of an answer that must have some.
func data(resp *logical.Response, err error) map[string]any {
	noError(err)
	holds(resp != nil && !resp.IsError() && resp.Data != nil, "no data: %#v", resp)
	return resp.Data
}

// absent checks that there was nothing to answer.
func absent(resp *logical.Response, err error) {
	noError(err)
	holds(resp == nil, "want no answer, got %#v", resp)
}

// refused checks what a client would be told: this status, and a text.
func refused(operation logical.Operation, status int, want string) func(*logical.Response, error) {
	return func(resp *logical.Response, err error) {
		got, told := logical.RespondErrorCommon(&logical.Request{Operation: operation}, resp, err)
		holds(told != nil, "want status %d, got %#v", status, resp)
		equal(got, status, told.Error())
		holds(strings.Contains(told.Error(), want), "want %q in %q", want, told)
	}
}

// isError checks the kind of an error, which must survive the way.
func isError(want error) func(*logical.Response, error) {
	return func(_ *logical.Response, err error) {
		holds(errors.Is(err, want), "want %q, got %v", want, err)
	}
}

// keys are all keys of the storage below a folder.
func (m *mount) keys(folder string) []string {
	keys, err := m.storage.List(m.ctx, folder)
	noError(err)
	return keys
}
