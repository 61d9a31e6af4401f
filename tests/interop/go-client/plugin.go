package main

import (
	"net/http"
	"slices"

	"github.com/hashicorp/vault/api"
)

const pluginName = "custom-plugin"

func pluginSteps() []step {
	return []step{
		{"plug-in register", func(w *walk) {
			plugin := &api.RegisterPluginInput{
				Name: pluginName, Type: api.PluginTypeSecrets, Command: w.pluginCommand, SHA256: w.pluginSHA256,
			}
			without := *plugin
			without.SHA256 = ""
			refused(w.client.Sys().RegisterPlugin(&without), http.StatusBadRequest, "missing SHA-256 value")
			without = *plugin
			without.Version = "v99.0.0"
			refused(w.client.Sys().RegisterPlugin(&without), http.StatusBadRequest, "plugin version mismatch")
			noError(w.client.Sys().RegisterPlugin(plugin))
			found, err := w.client.Sys().GetPlugin(&api.GetPluginInput{
				Name: pluginName, Type: api.PluginTypeSecrets, Version: w.pluginVersion,
			})
			noError(err)
			equal(found.Name, pluginName, "name")
			equal(found.Command, w.pluginCommand, "command")
			equal(found.SHA256, w.pluginSHA256, "digest")
			equal(found.Version, w.pluginVersion, "version, which the plug-in reported")
			equal(found.Builtin, false, "builtin")
			list, err := w.client.Sys().ListPlugins(&api.ListPluginsInput{Type: api.PluginTypeSecrets})
			noError(err)
			contains(list.PluginsByType[api.PluginTypeSecrets], pluginName, "catalog")
			holds(slices.ContainsFunc(list.Details, func(one api.PluginDetails) bool {
				return one.Name == pluginName && one.Version == w.pluginVersion && one.Type == "secret" && !one.Builtin
			}), "not among the details: %+v", list.Details)
		}},
		{"enable the plug-in at custom/", func(w *walk) {
			noError(w.client.Sys().Mount("custom", &api.MountInput{Type: pluginName}))
			mounts, err := w.client.Sys().ListMounts()
			noError(err)
			mount := mounts["custom/"]
			holds(mount != nil, "no mount at custom/")
			equal(mount.Type, pluginName, "type")
			equal(mount.RunningVersion, w.pluginVersion, "running version")
			equal(mount.RunningSha256, w.pluginSHA256, "running digest")
		}},
		{"config", func(w *walk) {
			absent(w.client.Logical().Read("custom/config"))
			_, err := w.client.Logical().Write("custom/config", map[string]any{"api_endpoint": w.serviceURL})
			refused(err, http.StatusBadRequest, "api_endpoint and api_key are required")
			absent(w.client.Logical().Write("custom/config", map[string]any{
				"api_endpoint": w.serviceURL, "api_key": w.serviceKey,
			}))
			equal(data(w.client.Logical().Read("custom/config")), map[string]any{"api_endpoint": w.serviceURL}, "config")
		}},
		{"role", func(w *walk) {
			absent(w.client.Logical().List("custom/roles"))
			absent(w.client.Logical().Write("custom/roles/developer", map[string]any{"permissions": "read,write", "ttl": "30m"}))
			absent(w.client.Logical().Write("custom/roles/passing", map[string]any{"permissions": []string{"read"}}))
			role := data(w.client.Logical().Read("custom/roles/developer"))
			equal(texts(role["permissions"], "permissions"), []string{"read", "write"}, "permissions")
			equal(number(role["ttl"], "ttl"), 1800, "ttl")
			equal(texts(data(w.client.Logical().List("custom/roles"))["keys"], "keys"), []string{"developer", "passing"}, "roles")
			_, err := w.client.Logical().Delete("custom/roles/passing")
			noError(err)
			absent(w.client.Logical().Read("custom/roles/passing"))
			_, err = w.client.Logical().Write("custom/roles/developer", map[string]any{"ttl": "soon"})
			refused(err, http.StatusBadRequest, "invalid duration")
		}},
		{"creds", func(w *walk) {
			_, err := w.client.Logical().Read("custom/creds/nobody")
			refused(err, http.StatusBadRequest, `role "nobody" not found`)
			secret, issued := w.creds(w.client)
			equal(secret.Renewable, true, "renewable")
			equal(secret.LeaseDuration, 1800, "lease duration")
			equal(texts(secret.Data["permissions"], "permissions"), []string{"read", "write"}, "permissions")
			w.tokenLives(issued)
			_, err = w.client.Logical().Write("custom/creds/developer", nil)
			refused(err, http.StatusMethodNotAllowed, "unsupported operation")
		}},
	}
}
