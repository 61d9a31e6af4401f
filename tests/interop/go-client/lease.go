package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

func leaseSteps() []step {
	return []step{
		{"lease lookup", func(w *walk) {
			secret, _ := w.creds(w.client)
			found := data(w.client.Sys().Lookup(secret.LeaseID))
			equal(found["id"], secret.LeaseID, "id")
			equal(found["renewable"], true, "renewable")
			equal(found["last_renewal"], nil, "last renewal")
			between(number(found["ttl"], "ttl"), 1700, 1800, "ttl")
			for _, name := range []string{"issue_time", "expire_time"} {
				_, err := time.Parse(time.RFC3339Nano, text(found[name], name))
				noError(err)
			}
			listed := texts(data(w.client.Logical().List("sys/leases/lookup/custom/creds/developer"))["keys"], "leases")
			contains(listed, strings.TrimPrefix(secret.LeaseID, "custom/creds/developer/"), "leases")
			_, err := w.client.Sys().Lookup("custom/creds/developer/no-such-lease")
			refused(err, http.StatusBadRequest, "invalid lease")
		}},
		{"lease renew", func(w *walk) {
			secret, issued := w.creds(w.client)
			before := w.tokenLives(issued)
			renewed := present(w.client.Sys().Renew(secret.LeaseID, 7200))
			equal(renewed.LeaseID, secret.LeaseID, "lease id")
			equal(renewed.LeaseDuration, 7200, "lease duration")
			equal(renewed.Renewable, true, "renewable")
			moved := w.tokenLives(issued).Sub(before).Seconds()
			between(int(moved), 5300, 5500, "the token's own expiry moved by")
			renewed = present(w.client.Sys().Renew(secret.LeaseID, 0))
			equal(renewed.LeaseDuration, 1800, "lease duration without increment")
			renewed = present(w.client.Sys().Renew(secret.LeaseID, 99999999))
			between(renewed.LeaseDuration, 2764700, 2764800, "lease duration past the maximum")
			holds(len(renewed.Warnings) > 0, "no warning that the renewal was capped")
			found := data(w.client.Sys().Lookup(secret.LeaseID))
			text(found["last_renewal"], "last renewal")
			_, err := w.client.Sys().Renew("custom/creds/developer/no-such-lease", 0)
			refused(err, http.StatusBadRequest, "lease not found")
		}},
		{"lease revoke", func(w *walk) {
			secret, issued := w.creds(w.client)
			noError(w.client.Sys().RevokeWithOptions(&api.RevokeOptions{LeaseID: secret.LeaseID, Sync: true}))
			w.tokenIsGone(issued)
			_, err := w.client.Sys().Lookup(secret.LeaseID)
			refused(err, http.StatusBadRequest, "invalid lease")
			noError(w.client.Sys().Revoke(secret.LeaseID))
			secret, issued = w.creds(w.client)
			noError(w.client.Sys().Revoke(secret.LeaseID))
			eventually(func() bool { return !w.tokenKnown(issued) }, "the token is gone")
		}},
		{"lease revoke-prefix", func(w *walk) {
			_, one := w.creds(w.client)
			_, two := w.creds(w.client)
			noError(w.client.Sys().RevokeWithOptions(&api.RevokeOptions{LeaseID: "custom/creds/developer", Prefix: true, Sync: true}))
			w.tokenIsGone(one)
			w.tokenIsGone(two)
			absent(w.client.Logical().List("sys/leases/lookup/custom/creds/developer"))
		}},
		{"leases end with their token", func(w *walk) {
			reader := w.newToken(&api.TokenCreateRequest{Policies: []string{"reader"}})
			_, issued := w.creds(w.as(reader.ClientToken))
			w.tokenLives(issued)
			noError(w.client.Auth().Token().RevokeTree(reader.ClientToken))
			eventually(func() bool { return !w.tokenKnown(issued) }, "the token is gone")
		}},
		{"a lease is watched over", func(w *walk) {
			secret, _ := w.creds(w.client)
			equal(w.watched(w.client, secret).LeaseDuration, 1800, "lease duration")
			noError(w.client.Sys().RevokeWithOptions(&api.RevokeOptions{LeaseID: secret.LeaseID, Sync: true}))
			refused(w.unwatched(w.client, secret), http.StatusBadRequest, "lease not found")
		}},
		{"a lease to keep", func(w *walk) {
			w.lease, w.leaseToken = w.creds(w.client)
		}},
	}
}

// creds reads credentials and gives the lease and the token.
func (w *walk) creds(client *api.Client) (*api.Secret, string) {
	secret := present(client.Logical().Read("custom/creds/developer"))
	holds(strings.HasPrefix(secret.LeaseID, "custom/creds/developer/"), "lease id %q", secret.LeaseID)
	return secret, text(secret.Data["token"], "token")
}

// tokenLives checks that the token service knows a token, and gives its expiry.
func (w *walk) tokenLives(token string) time.Time {
	status, self := w.whoami(token)
	equal(status, http.StatusOK, "status at the token service")
	return self.ExpiresAt
}

func (w *walk) tokenIsGone(token string) {
	holds(!w.tokenKnown(token), "the token service still knows the token")
}

func (w *walk) tokenKnown(token string) bool {
	status, _ := w.whoami(token)
	holds(status == http.StatusOK || status == http.StatusUnauthorized, "the token service answered %d", status)
	return status == http.StatusOK
}

type self struct {
	ExpiresAt time.Time `json:"expires_at"`
}

// whoami asks the token service whose token it is.
func (w *walk) whoami(token string) (int, self) {
	var answer self
	status := w.askService("/self", token, &answer)
	return status, answer
}

// liveTokens is the token service's own count.
func (w *walk) liveTokens() int {
	var stats struct {
		Live int `json:"live"`
	}
	equal(w.askService("/stats", w.serviceKey, &stats), http.StatusOK, "status at the token service")
	return stats.Live
}

func (w *walk) askService(path, bearer string, answer any) int {
	req, err := http.NewRequestWithContext(w.ctx, http.MethodGet, w.serviceURL+path, nil)
	noError(err)
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := http.DefaultClient.Do(req)
	noError(err)
	defer resp.Body.Close()
	noError(json.NewDecoder(resp.Body).Decode(answer))
	return resp.StatusCode
}
