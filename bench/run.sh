#!/usr/bin/env bash
# What exactness costs, as ratios in one run: bench/run.sh [events] (see bench/ses.py; some ten minutes)
set -euo pipefail

source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/../.ci/environment.sh"
prepare_python runtime
prepare_java
exec "$venv/bin/python" -P -m bench.ses "$@"
