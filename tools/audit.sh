#!/usr/bin/env bash
# Asks PyPI's advisories about every locked package: those of the project, its tests and tools, CUDA, the set-up and the fuzzing.
#
# usage: tools/audit.sh [OPTION of pip-audit]...      --ignore-vuln ID for one that does not concern us (say why in docs/security.md)
#
# Needs the network: PyPI itself. An index that only mirrors the packages knows no advisories, and then nothing was audited:
# --strict makes that an error. Exit code 1: something was found, or could not be looked up.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

failed=0
for lock in dev gpu bootstrap fuzz; do # dev.lock holds run.lock
  printf '=== requirements/%s.lock\n' "$lock"
  .venv/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r "requirements/$lock.lock" "$@" || failed=1
done
[ "$failed" -eq 0 ] || echo "audit: advisories above, or packages that could not be looked up (is PyPI itself reached from here, not a mirror?)" >&2
exit "$failed"
