// Command go-host runs a plug-in under the host code of a Go SDK, as a server would, from its
// start to its end. It is written for HashiCorp's and built for OpenBao's too (README.md). It prints "ok <step>" for each step and stops at the first
// that isn't, with its name, what the plug-in logged, and a non-zero status.
//
// It reads:
//
//	PLUGIN_COMMAND         path of the plug-in binary
//	PLUGIN_VERSION         the version it reports, v1.0.0 if not set
//	METHOD                 userpass or approle, if the plug-in is that auth method; else it is the
//	                       engine for the token service
//	TOKEN_SERVICE_URL      a running token service
//	TOKEN_SERVICE_API_KEY  its key
//	MODE                   automtls (protocol 5, one process for all mounts) or
//	                       unwrap (protocols 3 and 4, a process each, certificates by unwrap token)
package main

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
)

type step struct {
	name string
	run  func(*walk)
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	w, err := newWalk(ctx, os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	for _, step := range w.steps() {
		if err := w.try(step); err != nil {
			fmt.Fprint(os.Stderr, w.host.log.String())
			fmt.Printf("FAIL %s: %v\n", step.name, err)
			stop()
			os.Exit(1)
		}
		fmt.Println("ok", step.name)
	}
}

func (w *walk) steps() []step {
	all := [][]step{startSteps(w.mode), documentSteps(), leaseSteps(), endSteps()}
	if w.method != nil {
		all = [][]step{startSteps(w.mode), loginSteps(), loginEndSteps()}
	}
	var flat []step
	for _, some := range all {
		flat = append(flat, some...)
	}
	return flat
}

const (
	autoMTLS = "automtls"
	unwrap   = "unwrap"
)

// patience is for all steps together.
const patience = 2 * time.Minute

// walk is what later steps know from earlier ones.
type walk struct {
	ctx  context.Context
	mode string
	host *host
	// method is what differs between auth methods; nil for the engine.
	method *method

	pluginVersion          string
	serviceURL, serviceKey string
	// before is the token service's count of tokens at the start.
	before stats

	one, two *mount
	// lease is one of several steps, and token what it is of.
	lease *logical.Response
	token string
	// issued are all tokens and secret ids that were given out: none may ever stand in a log.
	issued []string
}

func newWalk(ctx context.Context, env func(string) string) (*walk, error) {
	needed := []string{"PLUGIN_COMMAND", "MODE"}
	kind := consts.PluginTypeSecrets
	if env("METHOD") == "" {
		needed = append(needed, "TOKEN_SERVICE_URL", "TOKEN_SERVICE_API_KEY")
	}
	for _, name := range needed {
		if env(name) == "" {
			return nil, fmt.Errorf("%s must be set", name)
		}
	}
	w := &walk{
		ctx:           ctx,
		mode:          env("MODE"),
		pluginVersion: env("PLUGIN_VERSION"),
		serviceURL:    env("TOKEN_SERVICE_URL"),
		serviceKey:    env("TOKEN_SERVICE_API_KEY"),
	}
	if w.mode != autoMTLS && w.mode != unwrap {
		return nil, fmt.Errorf("MODE must be %s or %s", autoMTLS, unwrap)
	}
	if w.pluginVersion == "" {
		w.pluginVersion = "v1.0.0"
	}
	if name := env("METHOD"); name != "" {
		w.method = methods[name]
		if w.method == nil {
			return nil, fmt.Errorf("METHOD must be userpass or approle")
		}
		kind = consts.PluginTypeCredential
	}
	host, err := newHost(kind, env("PLUGIN_COMMAND"))
	w.host = host
	return w, err
}

// stop ends what a failed step left running. The host code's own clean-up may wait for ever then.
func stop() {
	for _, pid := range children() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}
