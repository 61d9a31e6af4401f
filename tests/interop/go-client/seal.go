package main

import (
	"net/http"
	"regexp"

	"github.com/hashicorp/vault/api"
)

func sealSteps() []step {
	return []step{
		{"health of an uninitialised server", func(w *walk) {
			health, err := w.client.Sys().Health()
			noError(err)
			equal(health.Initialized, false, "initialized")
			equal(health.Sealed, true, "sealed")
			status, err := w.client.Sys().SealStatus()
			noError(err)
			equal(status.Initialized, false, "initialized by seal-status")
			initialized, err := w.client.Sys().InitStatus()
			noError(err)
			equal(initialized, false, "initialized by init status")
		}},
		{"init with bad shares", func(w *walk) {
			_, err := w.client.Sys().Init(&api.InitRequest{SecretShares: 2, SecretThreshold: 3})
			refused(err, http.StatusBadRequest, "")
		}},
		{"init", func(w *walk) {
			made, err := w.client.Sys().Init(&api.InitRequest{SecretShares: 3, SecretThreshold: 2})
			noError(err)
			equal(len(made.Keys), 3, "number of keys")
			equal(len(made.KeysB64), 3, "number of keys in base64")
			for _, key := range made.Keys {
				equal(len(key), 66, "hex digits of a share")
			}
			holds(made.RootToken != "", "no root token")
			w.keys = made.KeysB64
			w.client.SetToken(made.RootToken)
			initialized, err := w.client.Sys().InitStatus()
			noError(err)
			equal(initialized, true, "initialized")
		}},
		{"init again", func(w *walk) {
			_, err := w.client.Sys().Init(&api.InitRequest{SecretShares: 3, SecretThreshold: 2})
			refused(err, http.StatusBadRequest, "already initialized")
		}},
		{"sealed", func(w *walk) {
			health, err := w.client.Sys().Health()
			noError(err)
			equal(health.Initialized, true, "initialized")
			equal(health.Sealed, true, "sealed")
			equal(health.Standby, true, "standby")
			_, err = w.client.Auth().Token().LookupSelf()
			refused(err, http.StatusServiceUnavailable, "Vault is sealed")
		}},
		{"unseal, reset and unseal", func(w *walk) {
			status, err := w.client.Sys().Unseal(w.keys[0])
			noError(err)
			equal(status.Sealed, true, "sealed after one share")
			equal(status.Progress, 1, "progress after one share")
			equal([]int{status.T, status.N}, []int{2, 3}, "threshold and shares")
			status, err = w.client.Sys().Unseal(w.keys[0])
			noError(err)
			equal(status.Progress, 1, "progress after the same share again")
			status, err = w.client.Sys().ResetUnsealProcess()
			noError(err)
			equal(status.Progress, 0, "progress after a reset")
			_, err = w.client.Sys().Unseal("nonsense")
			refused(err, http.StatusBadRequest, "")
			w.unseal(0, 1)
		}},
		{"health", func(w *walk) {
			health, err := w.client.Sys().Health()
			noError(err)
			equal(health.Initialized, true, "initialized")
			equal(health.Sealed, false, "sealed")
			equal(health.Standby, false, "standby")
			holds(semantic.MatchString(health.Version), "version %q", health.Version)
			holds(health.ClusterID != "" && health.ClusterName != "", "no cluster id or name")
			holds(health.ServerTimeUTC > 1_600_000_000, "server time %d", health.ServerTimeUTC)
		}},
		{"seal-status", func(w *walk) {
			status, err := w.client.Sys().SealStatus()
			noError(err)
			equal(status.Type, "shamir", "type")
			equal(status.Initialized, true, "initialized")
			equal(status.Sealed, false, "sealed")
			equal([]int{status.T, status.N, status.Progress}, []int{2, 3, 0}, "threshold, shares and progress")
			holds(semantic.MatchString(status.Version), "version %q", status.Version)
			holds(status.StorageType != "", "no storage type")
			holds(status.ClusterID != "" && status.ClusterName != "", "no cluster id or name")
		}},
		{"leader", func(w *walk) {
			_, err := w.client.Sys().Leader()
			noError(err)
		}},
	}
}

func endSteps() []step {
	return []step{
		{"seal", func(w *walk) {
			noError(w.client.Sys().Seal())
			status, err := w.client.Sys().SealStatus()
			noError(err)
			equal(status.Sealed, true, "sealed")
			equal(status.Progress, 0, "progress")
			health, err := w.client.Sys().Health()
			noError(err)
			equal(health.Sealed, true, "sealed by health")
			_, err = w.client.Logical().Read("kv/plain")
			refused(err, http.StatusServiceUnavailable, "Vault is sealed")
		}},
		{"unseal with other shares", func(w *walk) {
			w.unseal(2, 1)
			equal(data(w.client.Logical().Read("kv/plain"))["value"], "kept", "a value from before")
			rules, err := w.client.Sys().GetPolicy("reader")
			noError(err)
			equal(rules, readerRules, "a policy from before")
		}},
	}
}

func pluginEndSteps() []step {
	return []step{
		{"a lease from before the seal", func(w *walk) {
			found := data(w.client.Sys().Lookup(w.lease.LeaseID))
			equal(found["id"], w.lease.LeaseID, "lease id")
			w.tokenLives(w.leaseToken)
			noError(w.client.Sys().RevokeWithOptions(&api.RevokeOptions{LeaseID: w.lease.LeaseID, Sync: true}))
			w.tokenIsGone(w.leaseToken)
		}},
		{"disable the engine", func(w *walk) {
			secret := present(w.client.Logical().Read("custom/creds/developer"))
			issued := text(secret.Data["token"], "token")
			w.tokenLives(issued)
			noError(w.client.Sys().Unmount("custom"))
			w.tokenIsGone(issued)
			_, err := w.client.Logical().Write("custom/config", map[string]any{"api_key": "x"})
			refused(err, http.StatusNotFound, "no handler for route")
		}},
		{"deregister the plug-in", func(w *walk) {
			noError(w.client.Sys().DeregisterPlugin(&api.DeregisterPluginInput{
				Name: pluginName, Type: api.PluginTypeSecrets, Version: w.pluginVersion,
			}))
			_, err := w.client.Sys().GetPlugin(&api.GetPluginInput{
				Name: pluginName, Type: api.PluginTypeSecrets, Version: w.pluginVersion,
			})
			refused(err, http.StatusNotFound, "")
		}},
		{"nothing left at the token service", func(w *walk) {
			equal(w.liveTokens(), 0, "tokens that live")
		}},
	}
}

func lastSteps() []step {
	return []step{
		{"seal for good", func(w *walk) {
			noError(w.client.Sys().Seal())
			status, err := w.client.Sys().SealStatus()
			noError(err)
			equal(status.Sealed, true, "sealed")
		}},
	}
}

// unseal gives two shares and waits until the server takes requests.
func (w *walk) unseal(first, second int) {
	status, err := w.client.Sys().Unseal(w.keys[first])
	noError(err)
	equal(status.Progress, 1, "progress")
	status, err = w.client.Sys().Unseal(w.keys[second])
	noError(err)
	equal(status.Sealed, false, "sealed")
	equal(status.Progress, 0, "progress when unsealed")
	eventually(func() bool {
		health, err := w.client.Sys().Health()
		return err == nil && !health.Sealed && !health.Standby
	}, "active")
}

var semantic = regexp.MustCompile(`^v?\d+\.\d+\.\d+`)
