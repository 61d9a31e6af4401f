// Command go-plugin is a secrets engine on HashiCorp's Go SDK: the token engine of the founding
// guide, corrected until it works, and paths that show a host how it treats a plug-in.
package main

import (
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/sdk/plugin"
)

// version is what the plug-in reports as its own; set another with
// -ldflags "-X main.version=v2.0.0".
var version = "v1.0.0"

func main() {
	// Operators leave these flags in a registration's args. Only hosts that offer protocol
	// versions 3 and 4 alone make use of them, and of the TLS provider.
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
