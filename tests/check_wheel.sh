#!/bin/sh
# Builds the wheel, installs it in an empty environment, and runs it from another folder.
# usage: tests/check_wheel.sh PYTHON TORCH, from the project's root
set -eu
root=$(pwd)
place=$(mktemp -d); trap 'rm -rf "$place"' EXIT
"$1" -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet "$2"
"$place/venv/bin/python" -m pip wheel --quiet --no-deps --wheel-dir "$place/dist" "$root"
"$place/venv/bin/python" -m pip install --quiet "$place"/dist/*.whl
cd "$place"
"$place/venv/bin/openretina" --version
"$place/venv/bin/openretina" models
"$place/venv/bin/openretina" optimize out=run
ls run
test -f run/result.json
"$place/venv/bin/openretina" optimize -m neuron=0..1 out=sweep output=minimal
test -f sweep/index.html
