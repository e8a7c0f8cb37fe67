// Command task is what `go tool task` runs: it starts Task (https://taskfile.dev)
// with the same arguments. Task has its own module file,
// deployments/tools/task.mod, so that the many modules it needs are not in the
// product's go.mod, where scanners of a gateway would find them.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// modFile is where Task's module file lies, below the root of the repository.
const modFile = "deployments/tools/task.mod"

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "task:", err)
	}
	os.Exit(code)
}

// run starts Task and returns its exit code. On Unix it returns only an error: Task
// replaces this process.
func run(args []string) (int, error) {
	dir, err := os.Getwd()
	if err != nil {
		return 1, fmt.Errorf("find the working directory: %w", err)
	}
	file, err := findUp(dir, modFile)
	if err != nil {
		return 1, err
	}
	program, err := build(file)
	if err != nil {
		return 1, err
	}
	return become(program, args)
}

// findUp returns the path of the file called name, which is relative, in dir or in
// the nearest folder above it that has one.
func findUp(dir, name string) (string, error) {
	for at := dir; ; {
		file := filepath.Join(at, filepath.FromSlash(name))
		if _, err := os.Stat(file); err == nil {
			return file, nil
		}
		parent := filepath.Dir(at)
		if parent == at {
			return "", fmt.Errorf("no %s in %s or in a folder above it (hint: run it inside a checkout of Portcullis)", name, dir)
		}
		at = parent
	}
}

// build returns the path of Task's executable, which go builds when it is not in
// its build cache. Running `go tool … task` instead would put one more process into
// the chain, each of which hands an interrupt on: Task counts them, and gives up
// waiting for its commands at the third.
func build(file string) (string, error) {
	cmd := exec.Command("go", "tool", "-modfile="+file, "-n", "task") //nolint:noctx // an interrupt reaches go by itself
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("build Task from %s: %w", file, err)
	}
	program := strings.TrimSpace(string(out))
	if program == "" {
		return "", errors.New("build Task: `go tool -n task` printed no path")
	}
	return program, nil
}
