// Checks the manifests of a folder and prints, in JSON, what is configured in them.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// report is what the test asks the server about.
type report struct {
	// Config holds the files of the server's configuration.
	Config map[string]string `json:"config"`
	// Mounts says what is mounted where in the server's container.
	Mounts map[string]string `json:"mounts"`
	// Args are the server's arguments.
	Args []string `json:"args"`
	// Probes are the paths that the kubelet asks for.
	Probes map[string]string `json:"probes"`
	// User is the server's.
	User int64 `json:"user"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: manifests <folder>")
		os.Exit(2)
	}
	objects, err := readFolder(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	complaints := objects.check()
	for _, complaint := range complaints {
		fmt.Fprintln(os.Stderr, complaint)
	}
	if len(complaints) > 0 {
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(objects.report()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
