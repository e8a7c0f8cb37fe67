// Command chart draws bar charts as SVG files. It is a module of its own so that
// the product does not depend on what draws them.
//
//	go run -C loadtest/peers/chart . CHARTS.json DIRECTORY
//
// What is drawn is decided by the caller, see Chart.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: chart CHARTS.json DIRECTORY")
	}
	data, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var charts []Chart
	if err := json.Unmarshal(data, &charts); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	for _, c := range charts {
		svg, err := c.Draw()
		if err != nil {
			return fmt.Errorf("%s: %w", c.File, err)
		}
		if err := os.WriteFile(filepath.Join(args[1], c.File), svg, 0o644); err != nil {
			return err
		}
	}
	return nil
}
