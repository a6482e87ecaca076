#!/usr/bin/env bash
# Sets everything up and runs the checks and tests; arguments go to pytest.
set -euo pipefail
source "$(dirname "$0")/setup_env.sh"
echo "[tests] ruff"
.venv/bin/ruff check . && .venv/bin/ruff format --check . || fail "ruff found something; see above"
.venv/bin/mypy || fail "mypy found something; see above"
echo "[tests] pytest"
.venv/bin/python -W ignore -m pytest "$@"
