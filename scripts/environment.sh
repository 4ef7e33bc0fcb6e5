# Sourced by the other scripts: uses the active virtual environment, or makes and uses .venv in the repository; with
# MINDSPORE set to a version it is always an environment of the repository, .venv-mindspore-VERSION.
# Afterwards "$PYTHON" is its interpreter. Safe to run again.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.11 python3.10 python3.12 python3.9 python3 python; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info < (3, 13))' 2>/dev/null
        then
            echo "$candidate"
            return
        fi
    done
    echo "Python 3.9 to 3.12 is needed, but none was found; set PYTHON to one." >&2
    return 1
}

if [ -n "${VIRTUAL_ENV:-}" ] && [ -z "${MINDSPORE:-}" ]; then
    PYTHON="$VIRTUAL_ENV/bin/python"
elif [ -n "${CONDA_PREFIX:-}" ] && [ "${CONDA_DEFAULT_ENV:-base}" != base ] && [ -z "${MINDSPORE:-}" ]; then
    PYTHON="$CONDA_PREFIX/bin/python"
else
    # An environment without pip is one whose making was interrupted.
    environment=$PWD/.venv${MINDSPORE:+-mindspore-$MINDSPORE}
    if ! "$environment/bin/python" -m pip --version >/dev/null 2>&1; then
        base=$(find_python)
        "$base" -m venv --clear "$environment"
    fi
    PYTHON="$environment/bin/python"
fi

# Installs this folder with the given extra; quick when all of it is there already.
install_with() {
    "$PYTHON" -m pip install --no-compile --quiet --disable-pip-version-check --editable ".[$1]" ${MINDSPORE:+"mindspore==$MINDSPORE"}
}
