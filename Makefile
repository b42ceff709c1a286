# The project's commands. Each builds the environment it needs, in .venv and .clients.
PYTHON ?= python3
BIN := .venv/bin
# Tests wait as often as they work: two processes for each core.
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
JOBS ?= $(shell echo $$(($(CORES) < 8 ? 2 * $(CORES) : 16)))
NODE22 = PATH="$(CURDIR)/.clients/node22/node_modules/node/bin:$$PATH"
CLIENTS := $(foreach client,openai-2.54.0 openai-1.109.1 anthropic-2.11.0 anthropic-0.125.0 ag-ui-1.0.0,.clients/$(client)/.done)

NODE_CLIENTS := $(patsubst compat/node/%/package.json,.clients/%/.done,$(wildcard compat/node/*/package.json))
COMPAT := $(CLIENTS) $(foreach client,openai-1.50.2 langchain,.clients/$(client)/.done) $(NODE_CLIENTS)

.PHONY: demo lowest fuzz soak soak-server attack crash test test-all test-long test-clients test-coding test-openapi test-node check bench req fix docs clean

demo: .venv/run.done
	$(BIN)/tailrace demo

# A cluster on this machine: a worker is killed in the middle of a run, and the stream goes on.
demo-cluster: .venv/dev.done
	$(BIN)/python -m scripts.demo_cluster

# The tests start some hundred servers: each would compile our code anew where nobody keeps what is compiled.
test crash test-long lowest: export PYTHONDONTWRITEBYTECODE :=

test: .venv/dev.done $(CLIENTS)
	$(BIN)/pytest -n $(JOBS) --dist worksteal -q

# Every combination of deaths, where `make test` takes each commit with fewer deaths after it.
crash: .venv/dev.done $(CLIENTS)
	TAILRACE_CRASHES=all $(BIN)/pytest -n $(JOBS) --dist worksteal -q tests/crash

# Every client people use, against live servers; writes docs/compatibility.md.
test-clients: .venv/dev.done $(COMPAT)
	$(BIN)/python -m compat

# Codex and Claude Code over model servers of every dialect, where they are installed (compat/coding).
test-coding: .venv/dev.done
	$(BIN)/python -m compat.coding

# The TypeScript package and the routes of the Next.js example, over recorded runs and a running server.
test-node: .venv/dev.done .clients/node22/.done packages/ai-sdk/node_modules/.done
	cd packages/ai-sdk && $(NODE22) npm test --silent

# Some thousand requests made from the server's own description.
test-openapi: .venv/dev.done .clients/schemathesis/.done
	PYTHONPATH=. $(BIN)/python scripts/openapi.py

# A minute for each target; what breaks is written beside the corpus.
fuzz: .clients/fuzz/.done
	PYTHONPATH=src .clients/fuzz/bin/python -m tests.fuzz.long $(SECONDS)

# The load of `make test` on a cluster with faults, for ten minutes; prints its seed.
soak: .venv/dev.done
	PYTHONPATH=src $(BIN)/python -m tests.soak $(or $(SECONDS),600)

# One server under moderate load for two hours, looked at every ten seconds: nothing may grow.
soak-server: .venv/dev.done
	PYTHONPATH=src $(BIN)/python -m tests.soak.server $(or $(SECONDS),7200)

# A thousand kills under clients of all surfaces, then hostile bytes; all is compared; prints its seed.
attack: .venv/dev.done
	PYTHONPATH=src $(BIN)/python -m tests.adversary --kills $(or $(KILLS),1000) \
	  $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SIEGE),--siege $(SIEGE)) $(if $(SEED),--seed $(SEED))

# All that there is.
test-all: test crash test-long

# The oldest releases that pyproject.toml allows, under the adapters and the HTTP surfaces. After a change there:
# uv pip compile --no-annotate --no-header --resolution lowest-direct --all-extras pyproject.toml \
#   requirements/lowest.in -o requirements/lowest.txt
lowest: .clients/lowest/.done
	.clients/lowest/bin/pip install --quiet --disable-pip-version-check --no-deps --editable .
	.clients/lowest/bin/pytest -n $(JOBS) --dist worksteal -q tests/runtimes tests/http tests/test_hooks.py

# What takes minutes each: the tests that wait, the clients of all makers, a short attack.
test-long: .venv/dev.done $(CLIENTS)
	$(BIN)/pytest -m long -n $(JOBS) --dist worksteal -q
	TAILRACE_EXAMPLES=100 $(BIN)/pytest -n $(CORES) -q tests/properties tests/protocols
	$(MAKE) lowest
	$(MAKE) test-node
	$(MAKE) test-clients
	$(MAKE) test-openapi
	$(MAKE) req
	$(MAKE) attack KILLS=100 SECONDS=110 SIEGE=15

check: .venv/dev.done
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m scripts.docs --check
	$(BIN)/pytest -q tests/layout

fix: .venv/dev.done
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: .venv/dev.done
	$(BIN)/python -m scripts.docs

bench: .venv/dev.done
	$(BIN)/python -m benchmarks

req: .venv/dev.done
	$(BIN)/python scripts/req.py

clean:
	rm -rf .venv .clients packages/ai-sdk/node_modules

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "tailrace needs Python 3.11 or" \
	  "later, and $(PYTHON) is not that. Say which one to take: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/run.done: requirements/run.txt pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements/run.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

.venv/dev.done: requirements/dev.txt pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@ .venv/run.done

# Other versions of the official SDKs, each in an environment of its own.
.clients/%/.done: requirements/%.txt
	$(PYTHON) -m venv .clients/$*
	.clients/$*/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

.clients/fuzz/.done: requirements/run.txt requirements/fuzz.txt
	$(PYTHON) -m venv .clients/fuzz
	.clients/fuzz/bin/pip install --quiet --disable-pip-version-check -r requirements/run.txt -r requirements/fuzz.txt
	touch $@

# Node's own package gets its binary by a script; the others need none.
.clients/node22/.done: NPM_SCRIPTS := --foreground-scripts
.clients/%/.done: compat/node/%/package.json
	mkdir -p .clients/$* && cp $< .clients/$*/
	cd .clients/$* && npm install --fetch-timeout=30000 --loglevel=error --no-audit --no-fund --no-package-lock $(or $(NPM_SCRIPTS),--ignore-scripts)
	touch $@

packages/ai-sdk/node_modules/.done: packages/ai-sdk/package.json .clients/node22/.done
	cd packages/ai-sdk && $(NODE22) npm install --fetch-timeout=30000 --loglevel=error --no-audit --no-fund --no-package-lock
	touch $@
