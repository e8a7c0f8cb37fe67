package release_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// image is what a container of a Dockerfile's last stage is.
type image struct {
	from, user string
	entrypoint []string
	arguments  []string
}

// TestImages: a container is nothing but one program, and not root.
func TestImages(t *testing.T) {
	root := repository(t)
	for _, p := range programs {
		program := filepath.Base(p)
		t.Run(program, func(t *testing.T) {
			i := readImage(t, root, program)
			if i.from != "scratch" {
				t.Errorf("FROM %s: an image has no shell", i.from)
			}
			if i.user != "65532:65532" {
				t.Errorf("USER %q: not the number of a user without rights", i.user)
			}
			if len(i.entrypoint) != 1 || i.entrypoint[0] != "/usr/bin/"+program {
				t.Errorf("ENTRYPOINT %q", i.entrypoint)
			}
		})
	}
}

// readImage reads the last stage of a Dockerfile of ours: one instruction a line.
func readImage(t *testing.T, root, program string) image {
	t.Helper()
	var i image
	for line := range strings.Lines(string(readFile(t, filepath.Join(root, "deployments", "images", program+".Dockerfile")))) {
		instruction, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		var err error
		switch instruction {
		case "FROM":
			i = image{from: value}
		case "USER":
			i.user = value
		case "ENTRYPOINT":
			err = json.Unmarshal([]byte(value), &i.entrypoint)
		case "CMD":
			err = json.Unmarshal([]byte(value), &i.arguments)
		}
		if err != nil {
			t.Fatalf("%s: %v (hint: the form without a shell, [\"…\"])", line, err)
		}
	}
	return i
}

// TestUnits: systemd understands every line of the units.
func TestUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("no systemd-analyze here")
	}
	root := repository(t)
	for _, p := range programs {
		name := "portcullis-" + filepath.Base(p)
		unit := string(readFile(t, filepath.Join(root, "deployments", "systemd", name+".service")))
		// The program is not installed here, and systemd looks for it.
		unit = strings.Replace(unit, "/usr/bin/"+name, "/bin/sh", 1)
		file := filepath.Join(t.TempDir(), name+".service")
		writeFile(t, file, []byte(unit))
		out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", file).CombinedOutput()
		if err != nil || strings.Contains(string(out), name) {
			t.Errorf("systemd-analyze verify: %v\n%s", err, out)
		}
	}
}

// TestUsers: a package brings the user that its unit runs as.
func TestUsers(t *testing.T) {
	root := repository(t)
	for _, p := range programs {
		name := "portcullis-" + filepath.Base(p)
		unit := string(readFile(t, filepath.Join(root, "deployments", "systemd", name+".service")))
		users := string(readFile(t, filepath.Join(root, "deployments", "systemd", name+".sysusers")))
		if !strings.Contains(unit, "\nUser="+name+"\n") || !strings.HasPrefix(users, "u "+name+" ") {
			t.Errorf("the unit or the sysusers file of %s names another user", name)
		}
	}
}

// unitCommand returns the arguments with which the program's unit starts it.
func unitCommand(t *testing.T, root, program string) []string {
	t.Helper()
	for line := range strings.Lines(string(readFile(t, filepath.Join(root, "deployments", "systemd", "portcullis-"+program+".service")))) {
		if command, ok := strings.CutPrefix(strings.TrimSpace(line), "ExecStart=/usr/bin/portcullis-"+program+" "); ok {
			return strings.Fields(command)
		}
	}
	t.Fatalf("the unit does not start portcullis-%s", program)
	return nil
}

// TestYAML: the files that only others read are YAML, without a key twice.
func TestYAML(t *testing.T) {
	root := repository(t)
	files := []string{".goreleaser.yaml", ".golangci.yml", "Taskfile.yml"}
	err := fs.WalkDir(os.DirFS(root), ".github", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && filepath.Ext(name) == ".yml" {
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		var content map[string]any
		if err := yaml.Unmarshal(readFile(t, filepath.Join(root, name)), &content); err != nil || len(content) == 0 {
			t.Errorf("%s: %d keys, %v", name, len(content), err)
		}
	}
}

// TestReleased: GoReleaser builds, packages and images every program.
func TestReleased(t *testing.T) {
	var config struct {
		Builds  []struct{ ID, Main string }
		NFPMs   []struct{ ID string } `yaml:"nfpms"`
		Dockers []struct{ ID string } `yaml:"dockers_v2"`
	}
	if err := yaml.Unmarshal(readFile(t, filepath.Join(repository(t), ".goreleaser.yaml")), &config); err != nil {
		t.Fatal(err)
	}
	if len(config.Builds) != len(programs) || len(config.NFPMs) != len(programs) || len(config.Dockers) != len(programs) {
		t.Fatalf("%d builds, %d packages, %d images; want %d of each", len(config.Builds), len(config.NFPMs), len(config.Dockers), len(programs))
	}
	for i, p := range programs {
		id := filepath.Base(p)
		if b := config.Builds[i]; b.ID != id || b.Main != "./"+p || config.NFPMs[i].ID != id || config.Dockers[i].ID != id {
			t.Errorf("program %d is not %s everywhere", i, p)
		}
	}
}
