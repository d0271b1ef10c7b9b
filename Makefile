# Everything a newcomer or CI needs. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
CACHE := $(or $(QN_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/quotenode-backup-operator)
VENV := .venv/bin
CRDS := crds helm/quotenode-backup-operator/files/crds
export KUBECONFIG := $(CACHE)/kubeconfig
export PATH := $(CACHE)/bin:$(PATH)
export PYTHONPATH := operator

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: venv
venv: .venv/.installed ## Make the development environment in .venv
.venv/.installed: requirements-dev.lock
	$(PYTHON) -m venv .venv
	$(VENV)/pip install --quiet --require-hashes -r requirements-dev.lock
	touch $@

.PHONY: crds
crds: venv ## Generate the CRDs from the models
	$(VENV)/python -m quotenode_backup crds $(CRDS)

.PHONY: format
format: venv ## Format the code
	$(VENV)/ruff format operator tests examples
	$(VENV)/ruff check --fix operator tests examples

.PHONY: lint
lint: venv ## Check format, style, types, import directions and generated files
	$(VENV)/ruff format --check operator tests examples
	$(VENV)/ruff check operator tests examples
	$(VENV)/mypy
	$(VENV)/lint-imports
	tests/lint/generated-files-are-current

.PHONY: unit
unit: venv ## Test the pure parts
	$(VENV)/python -m pytest -q -n 2 --timeout=600 tests/unit tests/cluster

.PHONY: cluster
cluster: ## Start the kind cluster with the images loaded
	$(PYTHON) -m tests.cluster up

.PHONY: cluster-down
cluster-down: ## Remove the kind cluster
	$(PYTHON) -m tests.cluster down

.PHONY: chart
chart: venv ## Test the chart's templates
	$(PYTHON) -m tests.cluster tools helm
	$(VENV)/python -m pytest -q -n 2 --timeout=300 tests/chart

.PHONY: alerts
alerts: venv ## Check the alerts: valid, firing and clearing when they should
	$(PYTHON) -m tests.cluster tools helm promtool
	$(VENV)/python -m pytest -q -n 2 --timeout=300 tests/alerts

.PHONY: integration
integration: venv ## Test the runner inside the shipped image
	$(PYTHON) -m tests.integration

.PHONY: e2e
e2e: venv cluster ## Test the whole on the cluster
	$(PYTHON) -m tests.cluster tools prometheus
	$(VENV)/python -m pytest -q -n 4 --durations=10 tests/e2e

.PHONY: test
test: ## Everything: lint, unit, chart, alerts, cluster, integration, end to end
	tests/run-all

IMAGE := localhost/quotenode-backup-operator:dev
image_id = $(PYTHON) -m tests.cluster engine image inspect --format '{{.Id}}' $(IMAGE)

.PHONY: operator
operator: cluster ## Install the operator into the cluster, for all namespaces
	helm upgrade --install quotenode-backup-operator helm/quotenode-backup-operator \
	  --namespace quotenode-system --create-namespace --take-ownership --wait --timeout 180s \
	  --set watch.allNamespaces=true --set image.tag=dev --set-string podAnnotations.image="$$($(image_id))"

NAMESPACE ?= shop
.PHONY: demo
demo: operator ## From a bare machine to a verified bundle, opened and compared (NAMESPACE=shop)
	examples/demo.sh $(NAMESPACE)

.PHONY: bench
bench: operator ## Measure the data path against the hand-typed procedure and restic (BENCH='--size 1000')
	$(PYTHON) -m tests.bench $(BENCH)

.PHONY: bench-scale
bench-scale: venv cluster ## Measure the operator with 1,000 schedules and 5,000 resources (SCALE='--schedules 100')
	$(VENV)/python -m tests.bench.scale $(SCALE)
