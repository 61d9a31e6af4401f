// Command go-auth-plugin is an auth method on HashiCorp's Go SDK: users with passwords, and paths
// that show a host how it treats a login.
package main

import (
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/sdk/plugin"
)

// version is what the plug-in reports as its own.
var version = "v1.0.0"

func main() {
	meta := &api.PluginAPIClientMeta{}
	if err := meta.FlagSet().Parse(os.Args[1:]); err != nil {
		os.Exit(2)
	}
	err := plugin.ServeMultiplex(&plugin.ServeOpts{
		BackendFactoryFunc: Factory,
		TLSProviderFunc:    api.VaultPluginTLSProvider(meta.GetTLSConfig()),
	})
	if err != nil {
		// Standard output belongs to the protocol.
		hclog.New(&hclog.LoggerOptions{Output: os.Stderr, JSONFormat: true}).
			Error("plug-in can't be served", "error", err)
		os.Exit(1)
	}
}
