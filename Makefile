# Everything a contributor runs. `make demo` and `make test` set up what they need.
#
# Needs on the machine: Python 3.11+ with pip (or venv), make, git. Nothing is installed outside this folder.
# PYTHON=/path/to/python3.12 chooses another interpreter; PYTEST_ARGS and DEMO_ARGS are passed on.

PYTHON ?= python3
UV_VERSION := 0.13.9
WORKERS ?= 2
SEEDS ?= 3000
DEMO_ARGS ?=
FUZZ_EXAMPLES ?= 50
FUZZ_SEED := $(or $(FUZZ_SEED),$(shell od -An -N4 -tu4 /dev/urandom | tr -d ' '))
BENCH_ARGS ?= all --plot docs/img/bench.png
PYTEST_ARGS ?=

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
UV := .tools/uv/bin/uv
STAMP := .venv/.set-up
# The tool never fetches another Python: the one that the user named is the one that runs.
export UV_PYTHON_DOWNLOADS := never
export UV_HTTP_TIMEOUT := 180
unexport VIRTUAL_ENV

.PHONY: help setup demo test simulate fuzz check bench docs lock clean

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

setup: $(STAMP) ## make .venv from the pinned and hashed lock

# Debian's python3 may lack venv and ensurepip, and its pip may be "externally managed" (PEP 668).
# `pip install --target` works in both cases, because it touches nothing outside this folder.
# Rejected: a script fetched over the network and piped to a shell.
define BOOTSTRAP
fail() { printf '\n' >&2; printf '%s\n' "$$@" >&2; exit 1; }
fetch="-m pip install --quiet --no-input --disable-pip-version-check --root-user-action ignore --no-deps"
fetched() { [ -x .tools/uv/bin/uv ] || fail "pip could not install uv $(UV_VERSION) (see above)." \
  "Check the network, and the proxy and index settings of pip."; touch .tools/uv/bin/uv; }
command -v "$(PYTHON)" >/dev/null || fail "There is no '$(PYTHON)' here." \
  "Install Python 3.11 or newer (Debian: apt install python3 python3-pip), or name one: make PYTHON=/path/to/python3.12"
"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail \
  "'$(PYTHON)' is $$("$(PYTHON)" --version 2>&1 || true); Serai needs Python 3.11 or newer." \
  "Name a newer one: make PYTHON=/path/to/python3.12"
rm -rf .tools/uv && mkdir -p .tools
echo "==> fetch uv $(UV_VERSION) into .tools/uv"
if "$(PYTHON)" -m pip --version >/dev/null 2>&1; then
  "$(PYTHON)" $$fetch --target .tools/uv "uv==$(UV_VERSION)" || true; fetched
elif "$(PYTHON)" -c 'import venv, ensurepip' >/dev/null 2>&1; then
  "$(PYTHON)" -m venv .tools/uv && .tools/uv/bin/python $$fetch "uv==$(UV_VERSION)" || true; fetched
else
  fail "'$(PYTHON)' has neither pip nor venv." "Install one of them (Debian: apt install python3-pip)."
fi
endef
export BOOTSTRAP

$(UV):
	@bash -euo pipefail -c "$$BOOTSTRAP"

# uv does not read pip's settings; a mirror and a certificate authority that the user set for pip are meant for this too.
# It comes with authorities of its own; those of the system count instead, as for Debian's pip.
PIP_CONFIG = $(PYTHON) -m pip config get global.$(1) 2>/dev/null || true
SYSTEM_CERTS := $(wildcard /etc/ssl/certs/ca-certificates.crt)
PIP_INDEX = mirror="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($(call PIP_CONFIG,index-url))}}"; \
	[ -z "$$mirror" ] || export UV_DEFAULT_INDEX="$$mirror"; \
	certs="$${SSL_CERT_FILE:-$${PIP_CERT:-$$($(call PIP_CONFIG,cert))}}"; \
	certs="$${certs:-$(SYSTEM_CERTS)}"; [ -z "$$certs" ] || export SSL_CERT_FILE="$$certs";

# Compiled here: where Python may not write its cache (PYTHONDONTWRITEBYTECODE), every start of every process would
# compile half a million lines again, a second of processor time each.
$(STAMP): $(UV) requirements.lock pyproject.toml verticals/hospitality/pyproject.toml
	@echo "==> set up .venv (once; later runs skip this)"
	@[ -x $(BIN)/python ] || $(UV) venv --quiet --clear --no-project --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv
	@$(PIP_INDEX) $(UV) pip install --python .venv --compile-bytecode --require-hashes -r requirements.lock
	@$(UV) pip install --quiet --python .venv --no-deps --no-build-isolation -e . -e verticals/hospitality
	@$(BIN)/python -m compileall -q src verticals/hospitality/src
	@touch $@

demo: $(STAMP) ## start everything, import the real bookings, show two phones converge
	@exec $(BIN)/serai demo $(DEMO_ARGS)

test: $(STAMP) ## run the whole suite
	@$(BIN)/pytest -n $(WORKERS) $(PYTEST_ARGS)

simulate: $(STAMP) ## run 3,000 seeds of the simulation, every fault and branch counted
	@$(BIN)/python -m serai.testing.simulation --seeds $(SEEDS) --jobs $(WORKERS)

fuzz: $(STAMP) ## send more random requests to every operation than the suite does
	@echo "==> the same again: make fuzz FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) FUZZ_SEED=$(FUZZ_SEED)"
	@SERAI_FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) SERAI_FUZZ_SEED=$(FUZZ_SEED) \
		$(BIN)/pytest -n 0 --timeout 0 tests/integration/http/test_fuzz.py $(PYTEST_ARGS)

check: $(STAMP) ## format, lint, types, import contract, guards
	@failed=(); \
	run() { local name="$$1"; echo "==> $$name"; shift; "$$@" || failed+=("($$name)"); }; \
	run "format" $(BIN)/ruff format --check --quiet; \
	run "lint" $(BIN)/ruff check --quiet --output-format concise; \
	run "types" $(BIN)/basedpyright; \
	run "import contract" $(BIN)/lint-imports --no-logo; \
	run "guards" $(BIN)/pytest -q tests/guards; \
	[ $${#failed[@]} = 0 ] || { echo "failed: $${failed[*]}"; exit 1; }

bench: $(STAMP) ## measure the published figures on this machine
	@$(BIN)/serai bench $(BENCH_ARGS)

docs: $(STAMP) ## build the site into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir site 2>&1 | { grep -v '^INFO' || true; }
	@echo "open site/index.html"

# Written without index addresses: the lock is the same wherever the packages are fetched from.
lock: $(UV) ## resolve again and rewrite requirements.lock
	@$(PIP_INDEX) $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-annotate --no-emit-index-url --no-emit-find-links \
		--no-emit-package serai --no-emit-package serai-hospitality \
		--group dev pyproject.toml --output-file requirements.lock $(LOCK_ARGS)
	@echo "requirements.lock: $$(grep -c '==' requirements.lock) packages"

clean: ## remove everything that make created
	@rm -rf .venv .tools site build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
