package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// tokenService is a client of the example token service.
type tokenService struct {
	config config
}

type token struct {
	ID    string `json:"id"`
	Token string `json:"token"`
}

// answerLimit is more than any answer we wait for; the service's word is not taken for it.
const answerLimit = 1 << 20

var httpClient = &http.Client{
	Timeout: 10 * time.Second,
	// The key must not follow a redirect to somewhere else.
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (s *tokenService) create(ctx context.Context, name string, permissions []string, ttl time.Duration) (*token, error) {
	var made token
	body := map[string]any{"name": name, "permissions": permissions, "ttl": seconds(ttl)}
	if err := s.call(ctx, http.MethodPost, "/tokens", body, &made, http.StatusCreated); err != nil {
		return nil, err
	}
	if made.ID == "" || made.Token == "" {
		return nil, fmt.Errorf("the token service answered without a token")
	}
	return &made, nil
}

func (s *tokenService) find(ctx context.Context, name string) ([]token, error) {
	var found struct {
		Tokens []token `json:"tokens"`
	}
	err := s.call(ctx, http.MethodGet, "/tokens?name="+url.QueryEscape(name), nil, &found, http.StatusOK)
	return found.Tokens, err
}

func (s *tokenService) renew(ctx context.Context, id string, ttl time.Duration) error {
	body := map[string]any{"ttl": seconds(ttl)}
	return s.call(ctx, http.MethodPost, "/tokens/"+url.PathEscape(id)+"/renew", body, nil, http.StatusOK)
}

func (s *tokenService) delete(ctx context.Context, id string) error {
	return s.call(ctx, http.MethodDelete, "/tokens/"+url.PathEscape(id), nil, nil, http.StatusNoContent, http.StatusNotFound)
}

// call sends a request and reads the answer, if its status is one of those expected.
func (s *tokenService) call(ctx context.Context, method, path string, body, answer any, expected ...int) error {
	var payload bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&payload).Encode(body); err != nil {
			return err
		}
	}
	endpoint := strings.TrimSuffix(s.config.APIEndpoint, "/")
	req, err := http.NewRequestWithContext(ctx, method, endpoint+path, &payload)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.config.APIKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := httpClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return err
	}
	for _, status := range expected {
		if resp.StatusCode == status {
			if answer == nil {
				return nil
			}
			return json.Unmarshal(text, answer)
		}
	}
	return fmt.Errorf("the token service answered %d: %s", resp.StatusCode, reason(text))
}

// reason is the service's own word, if it gave one.
func reason(text []byte) string {
	var refusal struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(text, &refusal) != nil || refusal.Error == "" {
		return "no reason given"
	}
	return refusal.Error
}

// seconds rounds up: the token must not end before its lease.
func seconds(ttl time.Duration) int64 {
	return int64(math.Ceil(ttl.Seconds()))
}
