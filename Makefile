# `make demo` and `make test` set up what they need; `make help` lists the rest.
PYTHON ?= python3
VENV   := .venv
STAMP  := $(VENV)/.installed
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test check docs format lock bench clean

help: ## Say what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

install: $(STAMP) ## Set up .venv from the lock file; the command is then .venv/bin/kedge

# The stamp is newer than what it was made from, so the second time costs nothing.
$(STAMP): requirements/dev.lock pyproject.toml scripts/install
	@scripts/install $(PYTHON) $(VENV)
	@touch $@

demo: install ## The whole loop on this machine (ARGS=--once to leave when it is done)
	@$(VENV)/bin/kedge demo $(ARGS)

test: install ## Every test (ARGS="-k name" to choose)
	@scripts/test $(ARGS)

check: install ## Style, types and the rules of import
	@scripts/check

docs: install ## The book, into build/docs; a warning or a broken link fails
	@$(VENV)/bin/python -m sphinx -q -W --keep-going -n -b html docs build/docs
	@echo "build/docs/index.html"

format: install ## Rewrite the code in the house format
	@$(VENV)/bin/ruff format . && $(VENV)/bin/ruff check --fix .

lock: install ## Resolve requirements/*.lock again
	@scripts/lock

bench: install ## Events a second of the whole path, beside decoding alone
	@$(VENV)/bin/python -m benchmarks.ingest $(ARGS)

clean: ## Take away what was built (not the environment)
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .kedge-demo
