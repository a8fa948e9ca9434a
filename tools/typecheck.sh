#!/usr/bin/env bash
# Runs mypy on the packages and the benchmarks. Mypy does not know import hooks, which is how the editable install makes `cxr.pipeline` out of
# the folder pipeline/: a link named cxr in a git-ignored folder shows it the same names.
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p .cache/typing
ln -sfn ../.. .cache/typing/cxr
packages=()
for folder in core data trainer serving components pipeline kubeflow cli; do
  [ -f "$folder/__init__.py" ] && packages+=(-p "cxr.$folder")
done
# The messages name the files where they are.
failed=0
MYPYPATH=.cache/typing .venv/bin/mypy "${packages[@]}" "$@" | sed 's#^\.cache/typing/cxr/##' || failed=1
MYPYPATH=.cache/typing:benchmarks .venv/bin/mypy benchmarks/*.py "$@" || failed=1
exit "$failed"
