# Everything there is to do with this project. `make demo` and `make test` do all their own set-up on a bare Debian 12
# with Python 3.11, Go, root and a way to the package registries; what they make is cached, so a second run is quick.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

export GOMAXPROCS ?= 2
export PYTHONPATH := $(CURDIR)/operator:$(CURDIR)
export PYTHONDONTWRITEBYTECODE := 1

PYTHON ?= python3
BIN := .venv/bin
UV := build/uv/bin/uv
LOCKED := requirements-dev.lock tools/bootstrap.lock
UV_STAMP := build/uv/.made-$(shell sha256sum tools/bootstrap.lock | cut -c1-12)
VENV_STAMP := .venv/.synced-$(shell cat $(LOCKED) | sha256sum | cut -c1-12)
PYTEST := $(BIN)/pytest
REPORT = --json-report --json-report-file=reports/$(1).json --json-report-omit keywords collectors log streams
GO_MODULES := e2e/cluster
SUITES := lint test-unit test-chart test-api test-cluster test-e2e

.PHONY: help
help: ## list what there is to do
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- set-up -----------------------------------------------------------------------------------------------------------

.PHONY: venv
venv: $(VENV_STAMP) ## the virtual environment of the developer, exactly as locked

$(UV_STAMP):
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv; }
	@rm -rf build/uv && $(PYTHON) -m venv build/uv
	@build/uv/bin/pip install --quiet --require-hashes --only-binary :all: --requirement tools/bootstrap.lock
	@touch $@

$(VENV_STAMP): | $(UV_STAMP)
	@test -x $(BIN)/python || $(UV) venv --quiet --python "$$(command -v $(PYTHON))" .venv
	@VIRTUAL_ENV=.venv $(UV) pip sync --quiet --require-hashes requirements-dev.lock
	@printf '%s\n' "$(CURDIR)/operator" "$(CURDIR)" \
	  > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/postboat.pth"
	@rm -f .venv/.synced-* && touch $@

.PHONY: lock
lock: $(UV_STAMP) ## resolve the dependencies anew and write the lock files (UPGRADE=1 takes newer versions)
	@options="--universal --quiet --generate-hashes --no-emit-index-url --python-version 3.11 $${UPGRADE:+--upgrade}"; \
	export UV_CUSTOM_COMPILE_COMMAND="make lock"; \
	$(UV) pip compile $$options pyproject.toml --group dev --output-file requirements-dev.lock; \
	$(UV) pip compile $$options pyproject.toml --constraint requirements-dev.lock --output-file requirements.lock

# --- generated files --------------------------------------------------------------------------------------------------

.PHONY: crds
crds: venv ## write crds/ and the tables of docs/kinds/ from the models in operator/postboat/api, and copy them into the chart
	@$(BIN)/python -m postboat crds crds
	@$(BIN)/python -m tools.pages
	@$(MAKE) chart

.PHONY: chart
chart: ## copy crds/ into the chart
	@rm -f charts/postboat/files/crds/*.yaml && cp crds/*.yaml charts/postboat/files/crds/

.PHONY: render
render: venv ## what the operator would make of a folder of YAML: make render FROM=examples/quickstart [TO=build/rendered]
	@$(BIN)/python -m postboat render "$(or $(FROM),examples/quickstart)" --output "$(or $(TO),build/rendered)"

# --- tests: on the embedded cluster always, whatever KUBECONFIG says --------------------------------------------------

.PHONY: test
test: venv ## every check and every test, the cluster included
	@rm -f reports/*.json; failed=(); begun=$$SECONDS; \
	for suite in $(SUITES); do \
	  echo "== $$suite"; $(MAKE) $$suite || failed+=("$$suite"); \
	done; \
	echo "== times"; $(MAKE) times || failed+=(times); \
	echo "== rows"; $(MAKE) rows || failed+=(rows); \
	if (( $${#failed[@]} )); then echo "make test: FAILED in $$((SECONDS - begun)) s: $${failed[*]}"; exit 1; fi; \
	echo "make test: passed in $$((SECONDS - begun)) s: $(SUITES)"

LINTS := lint-style lint-types lint-layers lint-yaml lint-images lint-shell lint-generated lint-go
.PHONY: lint $(LINTS)
lint: venv ## style, types, layers, YAML, Dockerfiles, shell, generated files, Go; goes on after a finding
	@$(MAKE) --keep-going $(LINTS)

lint-style: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-types: venv
	$(BIN)/mypy
	$(BIN)/mypy tools e2e conftest.py tests/chart tests/programs

lint-layers: venv
	$(BIN)/lint-imports

lint-yaml: venv
	$(BIN)/yamllint --strict --config-file tools/yamllint.yaml crds examples charts/postboat/{Chart,values}.yaml charts/postboat/tests

lint-images: venv
	$(BIN)/hadolint images/*/Dockerfile

lint-shell:
	bash -n .ci/run
	@! command -v shellcheck >/dev/null || shellcheck .ci/run

lint-generated: venv
	@made=$$(mktemp -d); trap 'rm -rf "$$made"' EXIT; $(BIN)/python -m postboat crds "$$made"; \
	  diff -r "$$made" crds || { echo "crds/ is not what the models say: run make crds"; exit 1; }
	@diff -r crds charts/postboat/files/crds || { echo "the chart lags behind crds/: run make chart"; exit 1; }

lint-go:
	@for module in $(GO_MODULES); do \
	  unformatted=$$(gofmt -l $$module); test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }; \
	  (cd $$module && nice go vet ./...); \
	done

.PHONY: test-unit
test-unit: venv ## everything that needs no cluster
	@mkdir -p reports
	$(PYTEST) tests --ignore=tests/chart -m 'not api' --numprocesses=2 $(call REPORT,unit) $(ARGS)

.PHONY: test-chart
test-chart: venv ## the chart: lint, unit tests, schemas of three Kubernetes versions, score
	@mkdir -p reports
	$(PYTEST) tests/chart $(call REPORT,chart) $(ARGS)

.PHONY: test-api
test-api: venv ## the definitions and the cluster layer against a real API server, faults included
	@mkdir -p reports
	$(BIN)/python -m e2e.cluster.api_only $(PYTEST) tests --ignore=tests/chart -m api \
	  --numprocesses=4 --dist=loadfile $(call REPORT,api) $(ARGS)  # more than cores: the cases mostly wait

.PHONY: test-cluster
test-cluster: venv ## what the cluster of the tests promises, on clusters of its own
	@mkdir -p reports
	$(PYTEST) e2e/cluster $(call REPORT,cluster) $(ARGS)

# Each has a platform of its own, of 1.5 GiB.
WORKERS ?= 3

.PHONY: test-e2e
test-e2e: venv ## real pods, real clients: builds images, starts the cluster, installs the chart
	@mkdir -p reports
	@kubeconfig=$$(env -u KUBECONFIG $(BIN)/python -m tools.install | tail -1); \
	set -x; KUBECONFIG=$$kubeconfig $(PYTEST) e2e/cases \
	  --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder $(call REPORT,e2e) $(ARGS)  # a platform for each process; see e2e/turns.py

.PHONY: rows
rows: ## which feature rows the last runs have shown (FORMAT=json for programs)
	@$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m tools.rows

.PHONY: times
times: ## where the time of the last runs went: each suite, and the slowest cases
	@$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m tools.times

.PHONY: mutants
mutants: venv ## change the code a little and list what no test notices (ARGS="operator/postboat/render --count 40")
	@nice $(BIN)/python -m tools.mutants $(ARGS)

.PHONY: bench-scale
bench-scale: venv ## memory and time of the operator with many mailboxes, against an API server without nodes
	$(BIN)/python -m e2e.cluster.api_only $(BIN)/python -m e2e.bench.scale $(ARGS)

.PHONY: bench
bench: venv ## delivery and reading beside daemons by hand, time to effect, bulk apply and memory on the cluster at hand
	@kubeconfig=$$(env -u KUBECONFIG $(BIN)/python -m tools.install | tail -1); KUBECONFIG=$$kubeconfig $(BIN)/python -m e2e.bench $(ARGS)

# --- cluster and demo -------------------------------------------------------------------------------------------------

.PHONY: demo
demo: venv ## a mail platform from YAML, a message through it, its signature verified; KUBECONFIG chooses another cluster
	@$(BIN)/python -m tools.demo

.PHONY: demo-down
demo-down: venv ## remove what make demo made
	@$(BIN)/python -m tools.demo down

.PHONY: images
images: ## build the container images that have changed
	@$(PYTHON) images/build.py

.PHONY: base
base: ## pin the digest that the base image of all images has in its registry now (IMAGE names a mirror's)
	@$(PYTHON) images/build.py --renew $(or $(IMAGE),debian:trixie-slim)

.PHONY: cluster-up
cluster-up: ## start the embedded Kubernetes
	@$(PYTHON) -m e2e.cluster up

.PHONY: cluster-down
cluster-down: ## stop the embedded Kubernetes and remove its state
	@$(PYTHON) -m e2e.cluster down

.PHONY: clean
clean: ## remove what the other targets left in the checkout (not the caches, not the cluster)
	@rm -rf .venv build reports .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
