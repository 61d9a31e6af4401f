package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/vault/sdk/helper/wrapping"
)

// unwrapping gives plug-ins of protocols 3 and 4 their certificate: a token in their environment,
// good for one call to a server's API.
type unwrapping struct {
	address string
	key     *ecdsa.PrivateKey

	lock    sync.Mutex
	waiting map[string]map[string]any
	given   int
	refused int
}

func newUnwrapping() (*unwrapping, error) {
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &unwrapping{address: "http://" + listener.Addr().String(), key: key, waiting: map[string]map[string]any{}}
	go func() { _ = http.Serve(listener, u) }()
	return u, nil
}

// ResponseWrapData is what the host code calls before it starts such a plug-in. The data are the
// certificate and the key of both sides.
func (h *host) ResponseWrapData(_ context.Context, data map[string]any, ttl time.Duration, isJWT bool) (*wrapping.ResponseWrapInfo, error) {
	if !isJWT {
		return nil, errors.New("only JWTs are wrapped here")
	}
	token, err := h.unwrapping.token(ttl)
	if err != nil {
		return nil, err
	}
	h.unwrapping.lock.Lock()
	defer h.unwrapping.lock.Unlock()
	h.unwrapping.waiting[token] = data
	return &wrapping.ResponseWrapInfo{Token: token, TTL: ttl, CreationTime: time.Now()}, nil
}

func (u *unwrapping) token(ttl time.Duration) (string, error) {
	id, err := uuid.GenerateUUID()
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES512, Key: u.key},
		(&jose.SignerOptions{}).WithType("JWT"),
	)
	if err != nil {
		return "", err
	}
	now := time.Now()
	return jwt.Signed(signer).Claims(map[string]any{
		"jti":  id,
		"iat":  now.Unix(),
		"exp":  now.Add(ttl).Unix(),
		"type": "wrapping",
		"addr": u.address,
	}).Serialize()
}

// counts are the calls that got a certificate, and those that didn't.
func (u *unwrapping) counts() (given, refused int) {
	u.lock.Lock()
	defer u.lock.Unlock()
	return u.given, u.refused
}

// ServeHTTP is as strict as a server that asks for the request header: one call a token.
func (u *unwrapping) ServeHTTP(answer http.ResponseWriter, call *http.Request) {
	u.lock.Lock()
	defer u.lock.Unlock()
	token := call.Header.Get("X-Vault-Token")
	data, known := u.waiting[token]
	answer.Header().Set("Content-Type", "application/json")
	if !known || call.Method != http.MethodPut || call.URL.Path != "/v1/sys/wrapping/unwrap" ||
		call.Header.Get("X-Vault-Request") != "true" {
		u.refused++
		answer.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(answer).Encode(map[string]any{"errors": []string{"wrapping token is not valid or does not exist"}})
		return
	}
	delete(u.waiting, token)
	u.given++
	_ = json.NewEncoder(answer).Encode(map[string]any{
		"request_id": "", "lease_id": "", "renewable": false, "lease_duration": 0,
		"data": data, "wrap_info": nil, "warnings": nil, "auth": nil,
	})
}
