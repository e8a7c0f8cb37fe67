// Command program prints from what it was built, as JSON.
package main

import (
	"encoding/json"
	"os"

	"github.com/portcullis-gateway/portcullis/shared/telemetry"
)

func main() {
	if err := json.NewEncoder(os.Stdout).Encode(telemetry.ReadBuild()); err != nil {
		os.Exit(1)
	}
}
