#!/usr/bin/env bash
# Makes .venv: Python 3.11, the locked dependencies and this project, all inside the checkout. Does nothing when that stands already.
#
# usage: tools/setup.sh [gpu]        gpu: with CUDA's libraries; an environment made so keeps them in later calls
#
# PYTHON=/path/to/python3.11 names an interpreter that is not found by itself.
# A run that was broken off is started over by the next call. newer_glibc.py says what happens on systems with an old C library.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly VENV=.venv
readonly OURS=$VENV/.made-by-setup # only an environment with this file is ever removed
readonly STAMP=$VENV/.complete     # what it was made from; written last
readonly GLIBC=2.39                # the wheels of ml-metadata and tensorflow-data-validation are tagged manylinux_2_39

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

check_platform() {
  [ "$(uname -s) $(uname -m)" = "Linux x86_64" ] || die "TFX 1.21 has packages for Linux on x86_64 only, and this is $(uname -s) on $(uname -m)." \
    "Remedy: use an x86_64 Linux machine, or run the container image with --platform linux/amd64."
}

# Prints the C library's version, for example 2.36.
glibc_version() {
  local answer
  answer=$(getconf GNU_LIBC_VERSION 2>/dev/null) || die "this system's C library is not glibc (Alpine?)." \
    "Remedy: use Debian, Ubuntu or Fedora, or the container image."
  echo "${answer##* }"
}

needs_newer_glibc() {
  local oldest
  oldest=$(printf '%s\n%s\n' "$GLIBC" "$1" | sort -V | head -n 1)
  [ "$oldest" != "$GLIBC" ]
}

# Prints a Python 3.11 outside any virtual environment. A name on PATH may be a shim that starts nothing: each is tried.
find_python() {
  local candidate found="" bare="" probe='import sys
assert sys.version_info[:2] == (3, 11)
print(getattr(sys, "_base_executable", "") or sys.executable)'
  local candidates=("${PYTHON:-}")
  if [ -z "${PYTHON:-}" ]; then
    candidates=(python3.11 python3 python
      "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.11*/bin/python3.11
      "${XDG_DATA_HOME:-$HOME/.local/share}"/uv/python/cpython-3.11*/bin/python3.11
      "$(uv python find 3.11 2>/dev/null || true)")
  fi
  for candidate in "${candidates[@]}"; do
    found=$("$candidate" -c "$probe" 2>/dev/null) || continue
    "$found" -c 'import ensurepip, venv' 2>/dev/null && { echo "$found"; return; }
    bare=$found
  done
  [ -z "$bare" ] || die "$bare is Python 3.11 without its modules venv and ensurepip." \
    "Remedy on Debian and Ubuntu: 'apt-get install python3.11-venv'; or name another one with PYTHON=/path/to/python3.11 make setup."
  [ -z "${PYTHON:-}" ] || die "PYTHON=$PYTHON is no Python 3.11. Remedy: correct it, or leave it out to have one looked for."
  die "Python 3.11 is missing. TFX 1.21 with Kubeflow needs exactly that version." \
    "Remedy, one of: 'apt-get install python3.11 python3.11-venv' (Debian 12), 'dnf install python3.11' (Fedora)," \
    "'uv python install 3.11', 'pyenv install 3.11'; or name one with PYTHON=/path/to/python3.11 make setup."
}

digest() { cat -- "$@" | sha256sum | cut -c 1-16; }

# What the environment depends on, one fact a line. The first two lines cannot be changed in place.
wanted() {
  echo "checkout $PWD"
  echo "interpreter $(digest tools/newer_glibc.py requirements/bootstrap.lock) glibc $1"
  echo "packages $profile $(digest "${locks[@]}")"
  echo "project $(digest setup.py pyproject.toml)"
}

# Removing takes a while: under another name the folder can not be taken for a whole one if that is broken off.
remove() {
  rm -rf .cache/old-venv
  mv "$VENV" .cache/old-venv
  rm -rf .cache/old-venv
}

make_interpreter() {
  local python libraries=()
  python=$(find_python)
  say "making $VENV with $python"
  rm -rf .cache/new-venv
  mkdir .cache/new-venv
  touch ".cache/new-venv/${OURS##*/}"
  mv .cache/new-venv "$VENV"
  # Copies can be told to use other libraries; links would lead to the system's interpreter.
  needs_newer_glibc "$1" && libraries=(--copies)
  "$python" -m venv ${libraries[@]+"${libraries[@]}"} "$VENV"
  "$VENV/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes -r requirements/bootstrap.lock ||
    die "the installer could not be fetched (see above). Remedy: check that pip reaches a package index from here, then call this again."
  if needs_newer_glibc "$1"; then
    say "glibc $1 is older than $GLIBC: fetching the next release's into $VENV/glibc"
    "$python" tools/newer_glibc.py "$VENV"
  fi
}

# Where PYTHONDONTWRITEBYTECODE is set, as in many containers, each process would compile TFX anew (42 s to import it in place of 13).
install_packages() {
  say "installing the packages of ${locks[*]}"
  "$VENV/bin/uv" pip sync --quiet ${PYTHONDONTWRITEBYTECODE:+--compile-bytecode} --python "$VENV/bin/python" --require-hashes --no-build-isolation "${locks[@]}" && return
  say "uv did not get them; trying pip, which may know another package index and takes some minutes"
  local lock
  for lock in "${locks[@]}"; do
    "$VENV/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes --no-build-isolation -r "$lock" ||
      die "the packages of $lock could not be installed (see above). Remedy: check the network, then call this again; it resumes from what was fetched."
  done
}

# setuptools warns of every editable installation.
install_project() {
  PYTHONWARNINGS="ignore:Editable installation" "$VENV/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation -e . ||
    die "the project could not be installed (see above)."
}

main() {
  case "${1:-}" in "" | gpu) ;; *) die "unknown argument '$1'. usage: tools/setup.sh [gpu]" ;; esac
  mkdir -p .cache
  exec 9>.cache/setup.lock
  flock 9 # two calls at once: the second waits, then finds the work done

  local glibc profile=${1:-dev}
  check_platform
  glibc=$(glibc_version)
  grep -qs '^packages gpu ' "$STAMP" && profile=gpu
  local locks=(requirements/bootstrap.lock requirements/dev.lock)
  [ "$profile" = gpu ] && locks+=(requirements/gpu.lock)

  local want have=""
  want=$(wanted "$glibc")
  [ -f "$STAMP" ] && "$VENV/bin/python" -ISc pass 2>/dev/null && have=$(cat "$STAMP")
  [ "$want" = "$have" ] && return

  if [ -e "$VENV" ] && [ ! -e "$OURS" ]; then
    die "$PWD/$VENV was not made by 'make setup'. Remedy: move or remove it, then call this again."
  fi
  # Of a moved checkout, a removed interpreter or a broken-off call nothing is kept; all else is brought up to date in place.
  if [ -e "$VENV" ] && [ "$(head -n 2 <<<"$want")" != "$(head -n 2 <<<"$have")" ]; then remove; fi
  rm -f "$STAMP"
  [ -e "$VENV" ] || make_interpreter "$glibc"
  install_packages
  install_project
  printf '%s\n' "$want" >"$STAMP"
  say "done"
}

# Sourcing the file (tests do) defines the functions only.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then main "$@"; fi
