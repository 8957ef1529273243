# Everything a fresh clone needs is Python 3.11, Java 17 and make; `make help` lists what there is.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup superset prerequisites browser demo up dashboard dashboard-check docs test test-unit check changed format \
	lock bench drill soak clean

PYTHON ?= python3.11
CRYPTO_PLATFORM_HOME ?= .crypto_platform
VENV := .venv
SUPERSET_VENV ?= .venv-superset
BIN := $(VENV)/bin
JARS := $(or $(JVM_JARS),$(CRYPTO_PLATFORM_HOME)/jars)
UV := $(BIN)/uv
MANIFEST := dbt_project/target/manifest.json
DBT_FILES := $(shell find dbt_project -type f -not -path '*/target/*' -not -path '*/logs/*' -not -name '.user.yml')
COMPILE := $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --no-header --quiet

# Dagster and the tests start `dbt` by its name.
export PATH := $(CURDIR)/$(BIN):$(PATH)

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Then: $(BIN)/crypto-platform --help"

setup: prerequisites $(VENV)/.installed $(JARS)/.fetched $(MANIFEST) ## Get everything ready; what is there already is kept

superset: setup $(SUPERSET_VENV)/.installed ## Apache Superset, which setup leaves out for its size

demo: setup ## Real bars from the API to the dbt facts, through every stage, in the terminal
	@$(BIN)/crypto-platform demo

up: setup ## Kafka, Spark, Snowflake emulator, Alpaca sandbox and Dagster's UI, until Ctrl-C
	@$(BIN)/crypto-platform up

dashboard: superset ## Apache Superset with the dashboards, until Ctrl-C; prints the login
	@$(BIN)/crypto-platform dashboard show

dashboard-check: superset ## Open every dashboard of an empty Superset in Chromium
	@$(BIN)/crypto-platform dashboard check

docs: setup ## dbt's site of the models, with lineage and columns, on loopback until Ctrl-C
	@$(BIN)/crypto-platform docs

test: superset ## Every test, those on the real parts included
	@$(BIN)/pytest

test-unit: setup ## The tests that need nothing started
	@$(BIN)/pytest -m "not sandbox"

browser: ## Install Chromium for the tests of web pages, where Debian's packages may be; without it they are skipped
	@command -v chromium || command -v chromium-browser || command -v google-chrome || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get || { \
	    echo "Install Chromium: as root \`apt-get install chromium\` (Debian, Ubuntu), \`dnf install chromium\` (Fedora) or" \
	      "\`brew install chromium\` (macOS)."; exit 1; } >&2; \
	  apt-get update --quiet=2 && apt-get install --yes --quiet=2 --no-install-recommends chromium fonts-dejavu-core; }

check: setup ## Style, types and SQL style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/sqlfluff lint dbt_project

changed: setup ## Build the dbt models that differ from main, and what depends on them, on empty tables
	@$(BIN)/python -m crypto_platform.transform.changed

format: setup ## Put the code into the style that `check` asks for
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/sqlfluff fix dbt_project

bench: superset ## Throughput of each hop, beside other tools, as a table and JSON
	@$(BIN)/python -m bench

drill: setup ## Break every part that is watched: seconds to the alert and to the recovery, as a table
	@$(BIN)/python -m crypto_platform.drill

MINUTES ?= 30
soak: setup ## The live path disturbed and killed for MINUTES=30, and a ledger that must not show it
	@$(BIN)/python -m crypto_platform_tests.stream.soak --minutes $(MINUTES)

lock: setup ## Pin anew what pyproject.toml, ivy.xml and the .in files ask for
	$(COMPILE) requirements-uv.in --output-file requirements-uv.lock
	$(COMPILE) pyproject.toml --all-extras --output-file requirements.lock
	$(COMPILE) dashboards/requirements.in --output-file dashboards/requirements.lock
	$(BIN)/python -m crypto_platform.sandbox.jars --pin

clean: ## Remove what setup made; the data in CRYPTO_PLATFORM_HOME stays
	rm -rf $(VENV) $(SUPERSET_VENV) $(JARS) dbt_project/target

prerequisites:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "Python 3.11 is needed and there is no $(PYTHON) on the PATH. Install it with \`apt-get install python3.11" \
	    "python3.11-venv\` (Debian, Ubuntu), \`dnf install python3.11\` (Fedora), \`brew install python@3.11\` (macOS)" \
	    "or from https://www.python.org/downloads/, or name another one: \`make PYTHON=/path/to/python3.11 …\`."; exit 1; } >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	  echo "Python 3.11 is needed and $(PYTHON) is another version: \`make PYTHON=/path/to/python3.11 …\`."; exit 1; } >&2
	@$(PYTHON) -I crypto_platform/sandbox/java.py

$(VENV)/.uv: requirements-uv.lock | prerequisites
	@echo "Making $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-uv.lock
	@touch $@

$(VENV)/.installed: requirements.lock pyproject.toml $(VENV)/.uv
	@echo "Installing the Python packages of requirements.lock …"
	@# Compiled once here, not by each of the processes that the first run starts, nor by every one where Python may
	@# not write beside its sources: a day's run takes twice as long so.
	@$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes --requirement requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(SUPERSET_VENV)/.installed: dashboards/requirements.lock | $(VENV)/.installed
	@echo "Installing Apache Superset into $(SUPERSET_VENV), the first time for a minute or two …"
	@$(UV) venv --quiet --clear --no-project --python $(BIN)/python $(SUPERSET_VENV)
	@$(UV) pip install --quiet --compile-bytecode --python $(SUPERSET_VENV)/bin/python --require-hashes \
	  --requirement dashboards/requirements.lock
	@# The tables of its metadata, made once here and not by each new Superset: 40 s of migrations.
	@SUPERSET_VENV=$(SUPERSET_VENV) $(BIN)/python -m crypto_platform.superset.template
	@cp dashboards/requirements.lock $@

$(JARS)/.fetched: ivy.xml ivysettings.xml jars.sha256 | $(VENV)/.installed
	@echo "Fetching the jars of the Kafka broker and of Spark's Kafka connector …"
	@$(BIN)/python -m crypto_platform.sandbox.jars
	@touch $@

$(MANIFEST): $(DBT_FILES) $(VENV)/.installed
	@echo "Preparing the dbt manifest …"
	@cd dbt_project && dbt --quiet parse --profiles-dir .
	@touch $@
