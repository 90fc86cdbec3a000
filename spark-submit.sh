#!/usr/bin/env bash
# Run a job: ./spark-submit.sh JOB [options], for example ./spark-submit.sh demo; --help lists the jobs.
#
# Needs Python 3.11 or newer. The first start makes the rest, below .venv and .cache beside this file.
# The job is started as a Python process of this very PID (and not under Spark's own spark-submit, whose JVM would end
# at once on SIGTERM), so that a signal lets the running batch finish. Relative paths are relative to where you stand.
set -euo pipefail

source "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.ci/environment.sh"
case ${1:-} in
    notebook) prepare_python notebook ;; # JupyterLab and what it needs, which no other job does
    *) prepare_python runtime ;;
esac
prepare_java
exec "$venv/bin/python" -P -m jobs "$@" # -P: a folder named `jobs` where you stand is not ours
