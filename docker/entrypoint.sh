#!/bin/sh
# DAGSTER_HOME gets the project's dagster.yaml, with the storage that the environment names; then the program starts.
set -e
python -m crypto_platform.dagster_instance.home
exec "$@"
