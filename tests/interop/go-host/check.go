package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"time"
)

// failure is what a failed check panics with, so that steps read as a list of what must hold.
type failure string

// try runs a step and gives back its failure.
func (w *walk) try(step step) (err error) {
	defer func() {
		switch value := recover().(type) {
		case nil:
		case failure:
			err = errors.New(string(value))
		default:
			panic(value)
		}
	}()
	step.run(w)
	return nil
}

// fail names the line of the check in its step: the first frame outside this file.
func fail(format string, args ...any) {
	where := ""
	for depth := 1; ; depth++ {
		_, file, line, ok := runtime.Caller(depth)
		if !ok {
			break
		}
		name := file[strings.LastIndexByte(file, '/')+1:]
		if name != "check.go" {
			where = fmt.Sprintf("%s:%d: ", name, line)
			break
		}
	}
	panic(failure(where + fmt.Sprintf(format, args...)))
}

func noError(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func holds(condition bool, what string, args ...any) {
	if !condition {
		fail(what, args...)
	}
}

func equal(got, want any, what string) {
	if !reflect.DeepEqual(got, want) {
		fail("%s: got %#v, want %#v", what, got, want)
	}
}

func text(value any, what string) string {
	text, ok := value.(string)
	holds(ok && text != "", "%s: want a text, got %#v", what, value)
	return text
}

// eventually repeats what a host repeats.
func eventually(done func() bool, what string) {
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(100 * time.Millisecond) {
		holds(time.Now().Before(deadline), "%s: not within 20 seconds", what)
	}
}

// stats are the token service's own counts.
type stats struct {
	Created, Deleted, Renewed, Live int
}

func (w *walk) stats() stats {
	var stats stats
	equal(w.askService(http.MethodGet, "/stats", w.serviceKey, &stats), http.StatusOK, "status at the token service")
	return stats
}

type self struct {
	ID        string    `json:"id"`
	ExpiresAt time.Time `json:"expires_at"`
}

// tokenLives checks that the token service knows a token.
func (w *walk) tokenLives(token string) self {
	var self self
	equal(w.askService(http.MethodGet, "/self", token, &self), http.StatusOK, "status at the token service")
	return self
}

func (w *walk) tokenIsGone(token string) {
	equal(w.askService(http.MethodGet, "/self", token, nil), http.StatusUnauthorized, "status at the token service")
}

func (w *walk) askService(method, path, bearer string, answer any) int {
	req, err := http.NewRequestWithContext(w.ctx, method, w.serviceURL+path, nil)
	noError(err)
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := http.DefaultClient.Do(req)
	noError(err)
	defer resp.Body.Close()
	if answer != nil {
		noError(json.NewDecoder(resp.Body).Decode(answer))
	}
	return resp.StatusCode
}
