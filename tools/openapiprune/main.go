// Command openapiprune corrects a generated OpenAPI document in place.
//
// A method with several REST bindings selects by path: /v1/blocks/{height}, /v1/blocks/latest. The generator documents
// what one binding takes from its path as a query parameter of the others, which the gateway refuses. This command
// removes those parameters.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: openapiprune FILE")
		os.Exit(2)
	}
	if err := prune(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "openapiprune:", err)
		os.Exit(1)
	}
}

func prune(file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	// Numbers stay as they are written.
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var document map[string]any
	if err := decoder.Decode(&document); err != nil {
		return err
	}
	paths, ok := document["paths"].(map[string]any)
	if !ok {
		return fmt.Errorf("%s has no paths", file)
	}
	operations := operationsByMethod(paths)
	for _, bindings := range operations {
		selectors := pathParameters(bindings)
		for _, operation := range bindings {
			dropQueries(operation, selectors)
		}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		return err
	}
	return os.WriteFile(file, out.Bytes(), 0o644)
}

// operationsByMethod groups the operations by the method they bind: the generator numbers the bindings after the first.
func operationsByMethod(paths map[string]any) map[string][]map[string]any {
	methods := make(map[string][]map[string]any)
	for _, path := range paths {
		verbs, _ := path.(map[string]any)
		for _, verb := range verbs {
			operation, _ := verb.(map[string]any)
			id, _ := operation["operationId"].(string)
			method := strings.TrimRight(id, "0123456789")
			methods[method] = append(methods[method], operation)
		}
	}
	return methods
}

func pathParameters(bindings []map[string]any) map[string]bool {
	names := make(map[string]bool)
	for _, operation := range bindings {
		for _, parameter := range parameters(operation) {
			if parameter["in"] == "path" {
				names[parameter["name"].(string)] = true
			}
		}
	}
	return names
}

func dropQueries(operation map[string]any, names map[string]bool) {
	var kept []any
	for _, parameter := range parameters(operation) {
		name, _ := parameter["name"].(string)
		if parameter["in"] != "query" || !names[name] {
			kept = append(kept, parameter)
		}
	}
	if len(kept) == 0 {
		delete(operation, "parameters")
		return
	}
	operation["parameters"] = kept
}

func parameters(operation map[string]any) []map[string]any {
	list, _ := operation["parameters"].([]any)
	var all []map[string]any
	for _, entry := range list {
		if parameter, ok := entry.(map[string]any); ok {
			all = append(all, parameter)
		}
	}
	return all
}
