#!/usr/bin/env bash
# Writes requirements/*.lock from pyproject.toml and requirements/*.in: every version pinned, every file by its hashes.
#
# usage: tools/lock.sh [--upgrade | --upgrade-package NAME]...      without them, versions stay where they are if they still fit
#
#   run.lock        what the project runs with, extras kfp and dicom included (container images)
#   gpu.lock        the same with CUDA's libraries
#   dev.lock        the same as run.lock with the tools for tests and checks (`make setup`)
#   fuzz.lock       what `make fuzz` adds to dev.lock
#   bootstrap.lock  what installs the others
set -euo pipefail
cd "$(dirname "$0")/.."

uv=.venv/bin/uv
[ -x "$uv" ] || uv=uv
command -v "$uv" >/dev/null || { echo "tools/lock.sh: uv is missing. Run 'make setup' first." >&2; exit 1; }

# Additional package sources of this machine must not reach the files: --no-config and the unset variables see to that.
compile() {
  env -u UV_FIND_LINKS -u UV_INDEX -u UV_EXTRA_INDEX_URL "$uv" --no-config pip compile --quiet \
    --python-version 3.11 --python-platform x86_64-manylinux_2_40 \
    --generate-hashes --no-emit-index-url --no-emit-find-links --override requirements/overrides.in --custom-compile-command "make lock" "$@"
}

runtime=(--extra kfp --extra dicom)
compile pyproject.toml "${runtime[@]}" -o requirements/run.lock "$@"
compile pyproject.toml "${runtime[@]}" --extra gpu -c requirements/run.lock -o requirements/gpu.lock "$@"
compile pyproject.toml "${runtime[@]}" --extra dev -c requirements/run.lock -o requirements/dev.lock "$@"
compile requirements/bootstrap.in -c requirements/run.lock -o requirements/bootstrap.lock "$@"
compile requirements/fuzz.in -c requirements/dev.lock -o requirements/fuzz.lock "$@"
