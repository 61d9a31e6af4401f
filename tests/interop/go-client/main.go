// Command go-client drives a server, from its first initialisation to its sealing, with
// HashiCorp's Go API client. It is built with OpenBao's too (README.md). It prints "ok <step>" for
// each step and stops at the first that isn't, with its name and a non-zero status.
//
// It reads:
//
//	VAULT_ADDR             an uninitialised server (VAULT_CACERT and the like as for any client)
//	FEATURES               what is built, with commas between: steps that need more are named and left out
//	PLUGIN_COMMAND         file name of the go-plugin binary in the server's plug-in folder; without
//	                       it, what needs plug-ins is left out
//	PLUGIN_SHA256          its digest
//	PLUGIN_VERSION         the version it reports, v1.0.0 if not set
//	TOKEN_SERVICE_URL      a running token service
//	TOKEN_SERVICE_API_KEY  its key
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"
)

type step struct {
	name string
	run  func(*walk)
}

// group is steps that need one feature; all servers have what needs none.
type group struct {
	needs string
	steps []step
}

func main() {
	w, err := newWalk(os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	for _, group := range groups() {
		for _, step := range group.steps {
			if group.needs != "" && !slices.Contains(w.built, group.needs) {
				fmt.Printf("awaits %s: %s\n", group.needs, step.name)
				continue
			}
			if err := w.try(step); err != nil {
				fmt.Printf("FAIL %s: %v\n", step.name, err)
				os.Exit(1)
			}
			fmt.Println("ok", step.name)
		}
	}
}

func groups() []group {
	return []group{
		{"", sealSteps()},
		{"", mountSteps()},
		{"", policySteps()},
		{"", tokenSteps()},
		{"", watcherSteps()},
		{"kv2", kv2Steps()},
		{"wrapping", wrappingSteps()},
		{"", userpassSteps()},
		{"wrapping", appRoleSteps()},
		{plugins, pluginSteps()},
		{plugins, leaseSteps()},
		{"", endSteps()},
		{plugins, pluginEndSteps()},
		{"", lastSteps()},
	}
}

// plugins is the feature of a test that gives us a plug-in.
const plugins = "plugins"

// walk is what later steps know from earlier ones.
type walk struct {
	client *api.Client
	ctx    context.Context
	built  []string

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
		built:         strings.Split(env("FEATURES"), ","),
		pluginCommand: env("PLUGIN_COMMAND"),
		pluginSHA256:  env("PLUGIN_SHA256"),
		pluginVersion: env("PLUGIN_VERSION"),
		serviceURL:    env("TOKEN_SERVICE_URL"),
		serviceKey:    env("TOKEN_SERVICE_API_KEY"),
	}
	if w.pluginVersion == "" {
		w.pluginVersion = "v1.0.0"
	}
	needed := []string{"VAULT_ADDR"}
	if w.pluginCommand != "" {
		w.built = append(w.built, plugins)
		needed = append(needed, "PLUGIN_SHA256", "TOKEN_SERVICE_URL", "TOKEN_SERVICE_API_KEY")
	}
	for _, name := range needed {
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
