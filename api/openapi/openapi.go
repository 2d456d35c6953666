// Package openapi holds the generated OpenAPI (Swagger 2.0) description of the REST API of cairn.v1.
package openapi

import _ "embed"

// document is embedded as a string, so that no caller can change it.
//
//go:embed cairn.swagger.json
var document string

// Document is the description: one JSON object, UTF-8, covering every service of cairn.v1.
func Document() []byte { return []byte(document) }
