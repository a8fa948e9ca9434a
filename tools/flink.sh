#!/usr/bin/env bash
# Brings what `make flink-test` needs into .cache/flink: a Flink distribution (PyPI) and Beam's job server for it (Maven). None of it is
# part of the locked environment. What is missing on this machine is said, with the remedy; the tests are then skipped.
#
# usage: tools/flink.sh
#
# CXR_FLINK_JOB_SERVER=/path/to/jar names a job server in place of Maven's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly FLINK=1.20.5 # the newest of a version that Beam has a job server for (1.19, 1.20, 2.0, 2.1, 2.2)
readonly ENGINE=flink CACHE=.cache/flink PYTHON=.venv/bin/python
source tools/beam_job_server.sh

# The jars come as a source package, the scripts and the configuration with PyFlink, which pins an old Beam: unpacked, not installed.
distribution() {
  [ ! -e "$CACHE/flink-dist/bin/jobmanager.sh" ] || return 0
  local made=$CACHE/flink-dist.partial got=$CACHE/download
  rm -rf "$made" "$got" && mkdir -p "$made" "$got"
  say "fetching Flink $FLINK (230 MB)"
  "$PYTHON" -m pip --disable-pip-version-check download --quiet --no-deps --dest "$got" \
    "apache-flink-libraries==$FLINK" "apache-flink==$FLINK" || { say "PyPI gave no Flink $FLINK"; return 1; }
  tar -xzf "$got"/apache_flink_libraries-*.tar.gz -C "$made" --strip-components=2 --wildcards '*/deps/bin' '*/deps/lib' '*/deps/plugins' || return 1
  "$PYTHON" - "$got" "$made" <<'PYTHON_END' || return 1
import pathlib, sys, zipfile
(wheel,) = pathlib.Path(sys.argv[1]).glob("apache_flink-*.whl")
with zipfile.ZipFile(wheel) as file:
    for name in file.namelist():
        if name.startswith(("pyflink/bin/", "pyflink/conf/")) and not name.endswith("/"):
            target = pathlib.Path(sys.argv[2], name.removeprefix("pyflink/"))
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(file.read(name))
            target.chmod(0o755 if target.suffix == ".sh" else 0o644)
PYTHON_END
  rm -rf "$got" "${CACHE:?}/flink-dist" && mv "$made" "$CACHE/flink-dist"
}

has_java || exit 0
mkdir -p "$CACHE"
distribution &&
  job_server "beam-runners-flink-${FLINK%.*}-job-server" beam-runners-flink-1.19 org.apache.beam.runners.flink.FlinkJobServerDriver \
    "$CACHE"/flink-dist/lib/flink-dist-*.jar || exit 0 # tests/clusters say that they are skipped
