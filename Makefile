# The targets of the tree; "make help" lists them. Tools are pinned in tools/go.mod and built into ./bin.

SHELL := /bin/bash -o pipefail
GO ?= go
# Our branch that the published API must stay compatible with.
MAIN ?= main
GENERATED := api

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "%-12s %s\n", $$1, $$2}'

.PHONY: tools
tools: ## Build the pinned tools into ./bin (minutes when cold, seconds when warm)
	cd tools && $(GO) build -o ../bin/ tool

.PHONY: build
build: ## Compile every package, and the commands into ./bin
	$(GO) build ./...
	@if [ -d cmd ]; then $(GO) build -o bin/ ./cmd/...; fi

.PHONY: generate
generate: tools ## Regenerate the Go and OpenAPI code of ./api
	bin/buf generate
	bin/buf generate --template api/openapi/buf.gen.yaml
	bin/openapiprune api/openapi/cairn.swagger.json

.PHONY: generate-check
generate-check: tools ## Fail if the generated code is stale
	@before="$$(mktemp -d)" && trap 'rm -rf "$$before"' EXIT && cp -R $(GENERATED) "$$before/" && \
	$(MAKE) --no-print-directory generate && \
	diff -r "$$before/$(GENERATED)" $(GENERATED) || { echo "the generated code was stale: commit what is there now"; exit 1; }

.PHONY: format
format: tools ## Format Go and protobuf sources
	bin/golangci-lint fmt ./...
	bin/buf format -w

.PHONY: format-check
format-check: tools ## Fail if a source is not formatted
	bin/golangci-lint fmt --diff ./...
	bin/buf format --diff --exit-code

.PHONY: lint
lint: tools ## Lint Go and protobuf, and check the API for breaking changes against MAIN
	bin/golangci-lint run ./...
	bin/golangci-lint run --build-tags e2e ./node/e2e/... ./cmd/...
	bin/buf lint
	@if git rev-parse --verify --quiet $(MAIN):buf.yaml >/dev/null; then \
		echo "bin/buf breaking --against .git#branch=$(MAIN)"; bin/buf breaking --against '.git#branch=$(MAIN)'; \
	else echo "branch $(MAIN) holds no API yet: nothing can break"; fi

.PHONY: vet
vet: ## Run go vet
	$(GO) vet ./...
	cd tools && $(GO) vet ./...

.PHONY: test
test: ## Run the tests
	$(GO) test ./...
	cd tools && $(GO) test ./...

.PHONY: race
race: ## Run the tests with the race detector
	$(GO) test -race ./...
	cd tools && $(GO) test ./...

# Which of the end-to-end tests: a regular expression.
RUN ?= .

.PHONY: e2e
e2e: ## Run the end-to-end tests: real processes, killed and started again
	$(GO) build -tags e2e -o bin/e2e/cairn ./cmd/cairn
	CAIRN_E2E_BINARY=$(CURDIR)/bin/e2e/cairn $(GO) test -tags e2e -count=1 -timeout 15m -v -run '$(RUN)' ./node/e2e

.PHONY: e2e-long
e2e-long: ## Run all of the end-to-end tests, about an hour, or those of RUN
	$(GO) build -tags e2e -o bin/e2e/cairn ./cmd/cairn
	CAIRN_E2E_LONG=1 CAIRN_E2E_BINARY=$(CURDIR)/bin/e2e/cairn $(GO) test -tags e2e -count=1 -timeout 4h -v -run '$(RUN)' ./node/e2e

# Which seeds of the simulator: A..B.
SEEDS ?= 1..200

.PHONY: sim
sim: ## Run the simulator over SEEDS, under each commit rule
	for rule in two_chain three_chain; do $(GO) run ./cmd/cairn sim swarm --rule $$rule --seeds $(SEEDS) || exit 1; done

# How many scenarios of Twins, for each commit rule.
CASES ?= 1000

.PHONY: twins
twins: ## Play CASES scenarios of Twins under each commit rule
	for rule in two_chain three_chain; do $(GO) run ./cmd/cairn sim twins --rule $$rule --cases $(CASES) || exit 1; done

# How long to fuzz each target, and which: QUARTER is 1 to 4, else that of the day; ALL=1 is all; FUZZ a regular expression
# of names such as consensus.FuzzVerifyQC.
FUZZTIME ?= 10s
QUARTER ?= 0
ALL ?= 0
FUZZ ?= .

.PHONY: fuzz
fuzz: ## Fuzz a QUARTER of the targets, or ALL=1, for FUZZTIME each
	$(GO) build -C tools -o ../bin/fuzz ./fuzz
	bin/fuzz -time $(FUZZTIME) -quarter $(QUARTER) -all=$(ALL) -run '$(FUZZ)'

# Which mutants: a regular expression.
MUTANTS ?= .

.PHONY: mutants
mutants: ## Break the code on purpose, one mutant of MUTANTS at a time: each must be noticed
	cd tools && $(GO) run ./mutants -root .. -run '$(MUTANTS)'

# How much of it: LONG_SEEDS of the simulator and LONG_CASES of Twins under each commit rule, LONG_FUZZ for each target.
LONG_SEEDS ?= 1..50000
LONG_CASES ?= 750000
LONG_FUZZ ?= 60s

.PHONY: long
long: ## Hours of simulation, Twins and fuzzing: LONG_SEEDS, LONG_CASES, LONG_FUZZ
	$(MAKE) sim SEEDS=$(LONG_SEEDS)
	$(MAKE) twins CASES=$(LONG_CASES)
	$(GO) test ./consensus/sim -count=1 -timeout 1h -run 'TestLongSilence' -silence 2500
	$(GO) test ./consensus/core -count=1 -timeout 2h -run 'TestRandom' -seeds 5000
	$(GO) test ./mempool -count=1 -timeout 1h -run 'TestEvictionAttacks' -steps 100000
	$(MAKE) fuzz ALL=1 FUZZTIME=$(LONG_FUZZ)

.PHONY: benchmarks
benchmarks: ## Run the Go benchmarks
	$(GO) test -run '^$$' -bench . -benchmem ./...

# Arguments of the bench, such as --cells '^closed' or --runs 3; --list shows the cells.
BENCH ?=

.PHONY: bench
bench: ## Measure networks of processes under load, about an hour, and write docs/PERFORMANCE.md (BENCH=arguments)
	$(GO) build -C tools -o ../bin/bench ./bench
	bin/bench $(BENCH)

.PHONY: check
check: format-check lint generate-check vet race sim ## All that a change must pass: format, lint, generated code, vet, tests with the race detector, simulator
