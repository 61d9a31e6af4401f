// Command openapi reads an OpenAPI document from standard input and says whether it is valid.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/getkin/kin-openapi/openapi3"
)

func main() {
	if err := check(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(from io.Reader) error {
	text, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	document, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		return err
	}
	return document.Validate(context.Background(), openapi3.EnableExamplesValidation())
}
