#!/usr/bin/env bash
# Brings what `make spark-test` needs into .cache/spark: a Spark distribution (PyPI) and Beam's job server for it (Maven). None of it is
# part of the locked environment. What is missing on this machine is said, with the remedy; the tests are then skipped.
#
# usage: tools/spark.sh
#
# CXR_SPARK_JOB_SERVER=/path/to/jar names a job server in place of Maven's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly SPARK=3.5.9 # the newest of the only version that Beam has a job server for
readonly ENGINE=spark CACHE=.cache/spark PYTHON=.venv/bin/python
source tools/beam_job_server.sh

# PySpark's source package has all of it.
distribution() {
  [ ! -e "$CACHE/spark-dist/bin/spark-class" ] || return 0
  local made=$CACHE/spark-dist.partial got=$CACHE/download
  rm -rf "$made" "$got" && mkdir -p "$made" "$got"
  say "fetching Spark $SPARK (320 MB)"
  "$PYTHON" -m pip --disable-pip-version-check download --quiet --no-deps --dest "$got" "pyspark==$SPARK" ||
    { say "PyPI gave no Spark $SPARK"; return 1; }
  tar -xzf "$got"/pyspark-*.tar.gz -C "$made" --strip-components=2 --wildcards '*/deps/bin' '*/deps/jars' || return 1
  echo "Spark $SPARK" >"$made/RELEASE" # else Spark takes the folder for its sources, and no executor starts
  rm -rf "$got" "${CACHE:?}/spark-dist" && mv "$made" "$CACHE/spark-dist"
}

has_java || exit 0
mkdir -p "$CACHE"
distribution &&
  job_server beam-runners-spark-3-job-server beam-runners-spark-3 org.apache.beam.runners.spark.SparkJobServerDriver || exit 0 # tests/clusters say that they are skipped
