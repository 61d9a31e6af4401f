// Command go-client drives a server, from its first initialisation to its sealing, with
// HashiCorp's Go API client. It prints "ok <step>" for each step and stops at the first that
// isn't, with its name and a non-zero status.
//
// It reads:
//
//	VAULT_ADDR             an uninitialised server (VAULT_CACERT and the like as for any client)
//	PLUGIN_COMMAND         file name of the go-plugin binary in the server's plug-in folder
//	PLUGIN_SHA256          its digest
//	PLUGIN_VERSION         the version it reports, v1.0.0 if not set
//	TOKEN_SERVICE_URL      a running token service
//	TOKEN_SERVICE_API_KEY  its key
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/hashicorp/vault/api"
)

type step struct {
	name string
	run  func(*walk)
}

func main() {
	w, err := newWalk(os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	for _, step := range steps() {
		if err := w.try(step); err != nil {
			fmt.Printf("FAIL %s: %v\n", step.name, err)
			os.Exit(1)
		}
		fmt.Println("ok", step.name)
	}
}

func steps() []step {
	all := [][]step{sealSteps(), mountSteps(), policySteps(), tokenSteps(), pluginSteps(), leaseSteps(), endSteps()}
	var flat []step
	for _, some := range all {
		flat = append(flat, some...)
	}
	return flat
}

// walk is what later steps know from earlier ones.
type walk struct {
	client *api.Client
	ctx    context.Context

	pluginCommand, pluginSHA256, pluginVersion string
	serviceURL, serviceKey                     string

	keys []string
	// lease is one that lives through the sealing at the end.
	lease      *api.Secret
	leaseToken string
}

func newWalk(env func(string) string) (*walk, error) {
	w := &walk{
		ctx:           context.Background(),
		pluginCommand: env("PLUGIN_COMMAND"),
		pluginSHA256:  env("PLUGIN_SHA256"),
		pluginVersion: env("PLUGIN_VERSION"),
		serviceURL:    env("TOKEN_SERVICE_URL"),
		serviceKey:    env("TOKEN_SERVICE_API_KEY"),
	}
	if w.pluginVersion == "" {
		w.pluginVersion = "v1.0.0"
	}
	for _, name := range []string{"VAULT_ADDR", "PLUGIN_COMMAND", "PLUGIN_SHA256", "TOKEN_SERVICE_URL", "TOKEN_SERVICE_API_KEY"} {
		if env(name) == "" {
			return nil, fmt.Errorf("%s must be set", name)
		}
	}
	client, err := api.NewClient(nil)
	if err != nil {
		return nil, err
	}
	// A token of the environment is not ours, and a second try would hide the first's failure.
	client.ClearToken()
	client.SetMaxRetries(0)
	w.client = client
	return w, nil
}

// as is a client with another token.
func (w *walk) as(token string) *api.Client {
	client, err := w.client.Clone()
	noError(err)
	client.SetToken(token)
	client.SetMaxRetries(0)
	return client
}
