#!/usr/bin/env bash
# What things cost, as ratios in one run: bench/run.sh [ses|summaries|sessions] [events]
#   ses        exactness, against the smallest Spark jobs that write the same rows; some ten minutes
#   summaries  bringing them up to date, against making them anew; of 5 million events, the default, and
#              all summaries but those of people (--only a,b) it took 29 and 55 minutes; of all it takes longer
#   sessions   of one person's events or many people's, against sorting them; some two minutes
set -euo pipefail

source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/../.ci/environment.sh"
what=ses
if [[ ${1:-} == ses || ${1:-} == summaries || ${1:-} == sessions ]]; then
    what=$1
    shift
fi
prepare_python runtime
prepare_java
exec "$venv/bin/python" -P -m "bench.$what" "$@"
