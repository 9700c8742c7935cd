// Command helm-template prints what Helm's own engine makes of a chart.
//
// It takes the folder of the chart and the namespace of the release as arguments, and as JSON on its
// standard input the values that differ from the chart's own. What Helm does beyond that, with
// registries, plugins and releases, is left out: it costs most of the build.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"sort"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string, input io.Reader, output io.Writer) error {
	if len(arguments) != 2 {
		return fmt.Errorf("usage: helm-template CHART NAMESPACE <VALUES")
	}
	chart, err := loader.LoadDir(arguments[0])
	if err != nil {
		return err
	}
	if err := chart.Validate(); err != nil {
		return err
	}
	given := map[string]any{}
	if err := json.NewDecoder(input).Decode(&given); err != nil && err != io.EOF {
		return fmt.Errorf("values: %w", err)
	}
	release := common.ReleaseOptions{
		Name: chart.Name(), Namespace: arguments[1], Revision: 1, IsInstall: true,
	}
	values, err := util.ToRenderValues(chart, given, release, common.DefaultCapabilities)
	if err != nil {
		return err
	}
	rendered, err := engine.Engine{Strict: true}.Render(chart, values)
	if err != nil {
		return err
	}
	return print(rendered, output)
}

// print writes the manifests in the order of their names; notes and empty ones are none.
func print(rendered map[string]string, output io.Writer) error {
	names := make([]string, 0, len(rendered))
	for name := range rendered {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		text := strings.TrimSpace(rendered[name])
		if text == "" || path.Ext(name) != ".yaml" {
			continue
		}
		if _, err := fmt.Fprintf(output, "---\n# %s\n%s\n", name, text); err != nil {
			return err
		}
	}
	return nil
}
