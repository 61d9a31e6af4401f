package main

import (
	"context"
	"errors"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/helper/errutil"
	"github.com/hashicorp/vault/sdk/logical"
)

// fail answers error/<kind>: every error that the wire tells apart, and the answers that are
// nearly nothing.
func (b *backend) fail(_ context.Context, _ *logical.Request, data *framework.FieldData) (*logical.Response, error) {
	message := data.Get("message").(string)
	switch kind := data.Get("kind").(string); kind {
	// The kinds of ProtoError, in the order of their numbers.
	case "unknown":
		return nil, errors.New(message)
	case "user":
		return nil, errutil.UserError{Err: message}
	case "internal":
		return nil, errutil.InternalError{Err: message}
	case "coded":
		return nil, logical.CodedError(data.Get("code").(int), message)
	case "bad-request":
		return nil, &logical.StatusBadRequest{Err: message}
	case "unsupported-operation":
		return nil, logical.ErrUnsupportedOperation
	case "unsupported-path":
		return nil, logical.ErrUnsupportedPath
	case "invalid-request":
		return nil, logical.ErrInvalidRequest
	case "permission-denied":
		return nil, logical.ErrPermissionDenied
	case "multi-authz":
		return nil, logical.ErrMultiAuthzPending
	case "unrecoverable":
		return nil, logical.ErrUnrecoverable

	// Answers that say error.
	case "response":
		return logical.ErrorResponse(message), nil
	case "response-with-data":
		return logical.ErrorResponseWithData(map[string]any{"hint": "try again"}, message), nil
	case "response-with-more":
		return &logical.Response{Data: map[string]any{"error": message, "other": true}}, nil
	case "both":
		return logical.ErrorResponse(message), errors.New(message)
	case "data-and-error":
		return &logical.Response{Data: map[string]any{"key": "value"}}, errors.New(message)

	// Answers that say nothing, each in its own way.
	case "nil":
		return nil, nil
	case "empty":
		return &logical.Response{Data: map[string]any{}}, nil
	case "null":
		return &logical.Response{}, nil
	case "warning":
		return &logical.Response{Warnings: []string{message}}, nil
	default:
		return logical.ErrorResponse("no such kind: %s", kind), nil
	}
}
