#!/usr/bin/env bash
# Runs the linter and the test suite; extra arguments go to pytest:
#   bash scripts/test.sh tests/test_models.py -k float16
# Of test functions with many slow cases some cases run, see tests/conftest.py; all of them, or the quickest alone:
#   bash scripts/test.sh --thorough
#   bash scripts/test.sh --quick
# --mindspore VERSION, given first, tests with that version of MindSpore, in an environment of its own:
#   bash scripts/test.sh --mindspore 2.7.0
set -euo pipefail
if [ "${1:-}" = --mindspore ]; then
    if [ -z "${2:-}" ]; then
        echo "--mindspore needs a version, for example: --mindspore 2.7.0" >&2
        exit 2
    fi
    MINDSPORE=$2
    shift 2
fi
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
install_with tests
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
PYTHONPATH="$PWD" "$PYTHON" -m pyright --pythonpath "$PYTHON" tests/type_checking/user_script.py
# Two processes, a file of tests in one of them: most of the time goes into compiling small graphs, on one thread.
# In the order of the names: files of few tests are the longest here, and at the end one process would wait for them.
"$PYTHON" -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
