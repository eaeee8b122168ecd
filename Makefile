# Two commands do everything on a fresh Debian 12 with git, make, npm and root: `make run` and `make test`.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
FUZZ_SECONDS ?= 600
SOAK_SECONDS ?= 1800
FLEET_NODES ?= 1000

.DEFAULT_GOAL := help
.PHONY: help build run test check generate e2e bench bench-fleet soak fuzz images clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## set up what is missing and build native/; then bin/tapline works
	@house/setup.sh run

run: build ## a capture with known loss, analyzed, checked against the truth, served until Ctrl-C
	@house/run.sh

test: ## everything that can fail, ending with one line: N passed, N failed
	@house/setup.sh test
	@node house/test.ts

e2e: ## a real Kubernetes on this machine, the project's image and the operator's stories on it; the first time it is built from its sources. Needs root
	@house/setup.sh test
	@node house/test.ts Kubernetes

check: ## types, lint, format, unused code, import directions, generated files
	@house/setup.sh check
	@node house/check.ts

generate: build ## write what is derived from domain/
	@node house/generate.ts

bench: ## the figures of docs/measurements.md, as ratios within one run
	@house/setup.sh bench
	@house/bench.sh

bench-fleet: ## the operator of FLEET_NODES (1000) made-up nodes on a real kube-apiserver: times, memory, writes, and whether its statuses are right
	@house/setup.sh bench
	@node test/kube/fleet/bench.ts --nodes $(FLEET_NODES)

soak: ## a live capture at full rate for SOAK_SECONDS (1800), then 20 clusters: nothing may grow or stay. Needs root
	@house/setup.sh bench
	@SOAK_SECONDS=$(SOAK_SECONDS) house/soak.sh

fuzz: ## each fuzz target for FUZZ_SECONDS (600); what it finds goes into the kept corpus
	@house/setup.sh test
	@node house/fuzz.ts $(FUZZ_SECONDS)

images: ## the image of deploy/Dockerfile: REGISTRY=… TAG=… [BASE=…] [PLATFORM=linux/amd64,linux/arm64] [PUSH=1]
	@REGISTRY="$(REGISTRY)" TAG="$(TAG)" BASE="$(BASE)" PLATFORM="$(PLATFORM)" PUSH="$(PUSH)" deploy/image.sh

clean: ## remove what was built; the next command sets up again
	rm -rf build native/build node_modules
