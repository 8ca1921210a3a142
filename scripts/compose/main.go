// Reads a compose file as Docker does, against the schema of the Compose specification.
//
//	go run -C scripts/compose . FILE
//
// It prints the services, or the problem and exits with 1. Whether the variables are those of our
// settings is compared by test_deploy.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

func main() {
	project, err := read(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(project.ServiceNames())
}

func read(files []string) (*types.Project, error) {
	options, err := cli.NewProjectOptions(files, cli.WithOsEnv)
	if err != nil {
		return nil, err
	}
	return options.LoadProject(context.Background())
}
