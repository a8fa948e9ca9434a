#!/usr/bin/env bash
# Runs mypy on everything: packages, benchmarks, tools and tests (pyproject.toml says what tests may leave out), in one run, so that each file is
# checked once and its result stays in the cache. Mypy does not know import hooks, which is how the editable install makes `cxr.pipeline` out of
# the folder pipeline/, nor pytest's pythonpath, where the tests' `simulator` is: links in a git-ignored folder show it the same names.
set -euo pipefail
cd "$(dirname "$0")/.."

links=.cache/typing
mkdir -p "$links"
ln -sfn ../.. "$links/cxr"
ln -sfn ../../tests/kubeflow/simulator "$links/simulator"
paths=(benchmarks tools tests "$links/simulator")
for folder in core data trainer serving components pipeline kubeflow cli; do
  paths+=("$links/cxr/$folder")
done
# The messages name the files where they are.
MYPYPATH="$links:benchmarks:tools" .venv/bin/mypy "${paths[@]}" "$@" | sed -e "s#^$links/cxr/##" -e "s#^$links/simulator/#tests/kubeflow/simulator/#"
