#!/usr/bin/env bash
# Check the project: ./run-tests.sh [pytest arguments]
#
# Without arguments: lint, format, types, then all tests. All of them run even if one fails; the exit code is not zero
# if any failed. With arguments: only pytest, for example ./run-tests.sh tests/conf -x
set -euo pipefail

source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.ci/environment.sh"
prepare_python dev
prepare_java
cd -- "$project"
prepare_classes

failed=0
if [ $# -eq 0 ]; then
    "$venv/bin/python" -m ruff check || failed=1
    "$venv/bin/python" -m ruff format --check || failed=1
    "$venv/bin/python" -m mypy || failed=1
    if [ "$failed" -ne 0 ]; then say "Lint, format or types failed (above). The tests run all the same."; fi
    set -- -n 2 --dist loadfile --no-loadscope-reorder # two at a time: while one waits for a JVM, the other has the core
fi
"$venv/bin/python" -m pytest "$@" || failed=$?
exit "$failed"
