#!/usr/bin/env bash
# Makes .venv: Python 3.11, the locked dependencies and this project, all inside the checkout.
#
# usage: tools/setup.sh [PROFILE]      PROFILE: run (default) or dev; each has a lock file requirements/PROFILE.lock
#
# ml-metadata and tensorflow-data-validation ship wheels for glibc >= 2.38 only. On an older system (Debian 12, Ubuntu 22.04)
# the C libraries of the distribution's next release are unpacked into .venv/glibc, and the environment's own copy of the
# interpreter is told to use them. The system is not touched, root is not needed, and a newer system never gets there.
set -euo pipefail
cd "$(dirname "$0")/.."
