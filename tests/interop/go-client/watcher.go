package main

import (
	"time"

	"github.com/hashicorp/vault/api"
)

func watcherSteps() []step {
	return []step{
		{"a token is watched over", func(w *walk) {
			secret := present(w.client.Auth().Token().Create(&api.TokenCreateRequest{Policies: []string{"reader"}, TTL: "1h"}))
			renewed := w.watched(w.as(secret.Auth.ClientToken), secret)
			equal(renewed.Auth.LeaseDuration, 3600, "lease duration")
			equal(renewed.Auth.ClientToken, secret.Auth.ClientToken, "token")
		}},
		{"a periodic token is watched over", func(w *walk) {
			secret := present(w.client.Auth().Token().Create(&api.TokenCreateRequest{Policies: []string{"reader"}, Period: "20m"}))
			renewed := w.watched(w.as(secret.Auth.ClientToken), secret)
			equal(renewed.Auth.LeaseDuration, 1200, "lease duration")
		}},
	}
}

// unwatched is why a lifetime watcher gives up.
func (w *walk) unwatched(client *api.Client, secret *api.Secret) error {
	watcher := w.watcher(client, secret)
	go watcher.Start()
	defer watcher.Stop()
	select {
	case err := <-watcher.DoneCh():
		return err
	case renewed := <-watcher.RenewCh():
		fail("what is gone was renewed: %#v", renewed)
	case <-time.After(20 * time.Second):
		fail("the watcher goes on watching")
	}
	return nil
}

// watched is what the first renewal of a lifetime watcher gives.
func (w *walk) watched(client *api.Client, secret *api.Secret) *api.Secret {
	watcher := w.watcher(client, secret)
	go watcher.Start()
	defer watcher.Stop()
	select {
	case renewed := <-watcher.RenewCh():
		return renewed.Secret
	case err := <-watcher.DoneCh():
		fail("the watcher ended: %v", err)
	case <-time.After(20 * time.Second):
		fail("the watcher renewed nothing")
	}
	return nil
}

func (w *walk) watcher(client *api.Client, secret *api.Secret) *api.LifetimeWatcher {
	watcher, err := client.NewLifetimeWatcher(&api.LifetimeWatcherInput{
		Secret: secret, RenewBehavior: api.RenewBehaviorErrorOnErrors,
	})
	noError(err)
	return watcher
}
