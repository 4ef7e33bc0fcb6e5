#!/usr/bin/env bash
# Runs the linter and the test suite; extra arguments go to pytest:
#   bash scripts/test.sh tests/test_models.py -k float16
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
install_with tests
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
# Two processes, a file of tests in one of them: most of the time goes into compiling small graphs, on one thread.
"$PYTHON" -m pytest -n 2 --dist loadfile "$@"
