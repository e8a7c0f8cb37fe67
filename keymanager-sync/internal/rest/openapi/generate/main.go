// Generate writes openapi.yaml; `go generate ./keymanager-sync/internal/rest` runs it.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/portcullis-gateway/portcullis/keymanager-sync/internal/rest/openapi"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "generate openapi.yaml:", err)
		os.Exit(1)
	}
}

// run expects to stand in the folder of package api.
func run() error {
	document, err := openapi.Generate(context.Background(), "../../../proto")
	if err != nil {
		return err
	}
	return os.WriteFile("openapi.yaml", document, 0o600)
}
