#!/bin/sh
# Installs packages from PyPI into target/python: sh tests/need_python.sh MODULE=PACKAGE …
set -eu
cd "$(dirname "$0")/.."
python=target/python/bin/python
missing=
for pair in "$@"; do
    "$python" -c "import ${pair%%=*}" 2>/dev/null || missing="$missing ${pair#*=}"
done
[ -n "$missing" ] || exit 0
if [ ! -x "$python" ]; then
    python3 -c 'import ensurepip, venv' 2>/dev/null || sh tests/need.sh no-python3=python3 no-python3-venv=python3-venv
    python3 -m venv target/python
fi
echo "installing:$missing"
# shellcheck disable=SC2086
target/python/bin/pip install --quiet --disable-pip-version-check $missing
