# The project's commands. Each builds the environment it needs, in .venv and .clients.
PYTHON ?= python3
BIN := .venv/bin
CLIENTS := $(foreach client,openai-2.54.0 openai-1.109.1 anthropic-2.11.0 anthropic-0.125.0 ag-ui-1.0.0,.clients/$(client)/.done)

.PHONY: demo test check bench req fix docs clean

demo: .venv/run.done
	$(BIN)/tailrace demo

test: .venv/dev.done $(CLIENTS)
	$(BIN)/pytest -n 4 --dist worksteal -q

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
	rm -rf .venv .clients

.venv/bin/python:
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
