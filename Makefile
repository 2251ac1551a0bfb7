# Every target works from a clean clone: each sets up what it needs first, and setup is instant when nothing changed.
.DEFAULT_GOAL := help
.PHONY: help setup demo test hostile programs check bench format lock reference openapi docs clean

BIN := .venv/bin
CODE := src tests $(wildcard bench examples tools)

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv and install what is missing
	@tools/setup.sh

demo: setup ## run the ESOL example on a local network of two nodes
	@$(BIN)/python examples/solubility/demo.py

test: ## run the tests (ARGS="-k name" passes on)
	@tools/setup.sh tests
	@tools/test.sh $(ARGS)

hostile: ## attack every sandbox: bubblewrap, Docker with runc and gVisor, Podman (as root)
	@tools/setup.sh tests
	$(BIN)/pytest tests/hostile $(ARGS)

programs: ## build the Solana programs from source (ARGS=--check only compares with what is committed)
	@tools/setup.sh programs
	PYTHONPATH=tools $(BIN)/python -m solana_programs.build $(ARGS)

check: setup ## format, lint, types, import layers, docs
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

bench: ## measure, also other systems beside us, and write bench/results/ (ARGS="throughput --quick")
	@tools/setup.sh bench
	@$(BIN)/python -m bench $(ARGS)

format: setup ## rewrite the code in the project's format
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

lock: setup ## recompile requirements/ from pyproject.toml, and those of the bench's peers (UPGRADE=1 takes the newest)
	@tools/lock.sh

reference: setup ## rewrite the pages of docs/reference that are made from the code
	$(BIN)/python tools/reference.py

openapi: setup ## rewrite docs/reference/openapi.json from the code
	$(BIN)/python -W ignore tools/openapi.py

docs: setup ## serve the documentation on localhost:8000
	$(BIN)/mkdocs serve

clean: ## remove everything made here, .venv included
	rm -rf .venv .venv-bootstrap .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .schemathesis site dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
