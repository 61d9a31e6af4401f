package main

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
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

func contains(list []string, want, what string) {
	holds(slices.Contains(list, want), "%s: %q is not in %q", what, want, list)
}

// between checks seconds of which some may have passed.
func between(got, low, high int, what string) {
	holds(got >= low && got <= high, "%s: got %d, want %d to %d", what, got, low, high)
}

// refused checks that a call failed with this status and with a text in it.
func refused(err error, status int, text string) {
	var answer *api.ResponseError
	if !errors.As(err, &answer) {
		fail("want status %d, got %v", status, err)
	}
	equal(answer.StatusCode, status, fmt.Sprintf("status of %q", answer.Errors))
	holds(strings.Contains(strings.Join(answer.Errors, "\n"), text), "want %q in %q", text, answer.Errors)
}

// present is the answer of a call that must have one.
func present(secret *api.Secret, err error) *api.Secret {
	noError(err)
	holds(secret != nil, "no answer")
	return secret
}

// data is the data of an answer that must have some.
func data(secret *api.Secret, err error) map[string]any {
	present(secret, err)
	holds(secret.Data != nil, "no data")
	return secret.Data
}

// absent checks that nothing was there to answer.
func absent(secret *api.Secret, err error) {
	noError(err)
	holds(secret == nil, "want no answer, got %#v", secret)
}

func text(value any, what string) string {
	text, ok := value.(string)
	holds(ok && text != "", "%s: want a text, got %#v", what, value)
	return text
}

func texts(value any, what string) []string {
	list, ok := value.([]any)
	holds(ok, "%s: want a list, got %#v", what, value)
	out := make([]string, 0, len(list))
	for _, item := range list {
		out = append(out, text(item, what))
	}
	return out
}

func number(value any, what string) int {
	digits, ok := value.(interface{ Int64() (int64, error) })
	holds(ok, "%s: want a number, got %#v", what, value)
	number, err := digits.Int64()
	noError(err)
	return int(number)
}

// eventually checks what the server does in the background.
func eventually(done func() bool, what string) {
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(50 * time.Millisecond) {
		holds(time.Now().Before(deadline), "%s: not within 20 seconds", what)
	}
}
