# `make` lists the targets. Nothing but make and Python 3.11 or newer with venv must be there before.

# The first of these that is new enough and can make an environment.
PYTHON ?= $(firstword $(foreach python,python3 python3.14 python3.13 python3.12 python3.11,$(shell \
	$(python) -c 'import sys, venv, ensurepip; print("$(python)" if sys.version_info >= (3, 11) else "")' 2>/dev/null)))
BIN := .venv/bin
READY := .venv/.ready
PYTEST := $(BIN)/pytest -n 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help env servers test lint types wheel-test demo bench bench-quick docs clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '  make %-12s %s\n' "$$name" "$$text"; done

env: $(READY) ## Make the environment in .venv

# pip before 25.1 knows no dependency groups, and the one that came with Python may be older.
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { \
		echo "No Python 3.11 or newer with venv was found; on Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install -q -c constraints.txt 'pip>=25.1'
	$(BIN)/python -m pip install -q -c constraints.txt --group dev -e '.[all]'
	@touch $@

servers: ## Install the servers that tests start (nginx, squid, ...); needs root
	@.ci/install-servers

# As root the servers are installed first. Where that fails the tests tell what they could not run.
test: env ## Run all tests, with what is installed; as root, install the servers first
	@if [ "$$(id -u)" -eq 0 ]; then .ci/install-servers || echo "going on without" >&2; fi
	$(PYTEST)

lint: env ## Look for mistakes and for what is not formatted
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: env ## Check the types
	$(BIN)/mypy

wheel-test: env ## Build the wheel and run the tests against it alone
	@.ci/wheel-test

demo: env ## Run a real batch against servers that it starts itself
	@$(BIN)/python integration/demo.py

bench: env ## Measure against the peers, all rows or ROWS=a,b; all take half an hour
	@$(BIN)/python benchmarks/run.py $(if $(ROWS),--only $(ROWS))

bench-quick: env ## The same, small: less than two minutes once the peers are installed
	@$(BIN)/python benchmarks/run.py --quick $(if $(ROWS),--only $(ROWS))

docs: env ## Write the documents that are generated from the code
	@$(BIN)/python -m wf.transfer.batch_schema
	@$(BIN)/python -m wf.transfer.result_schema > transfer/result.schema.json
	@$(BIN)/python -m wf.transfer.results_page docs/results.md
	@$(BIN)/python -m wf.transfer.protocols_page > docs/protocols.md
	@$(BIN)/python -m wf.transfer.options_page > docs/options.md

clean: ## Remove the environment and everything that was built
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
