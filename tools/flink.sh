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
readonly CACHE=.cache/flink
readonly PYTHON=.venv/bin/python

say() { printf 'flink: %s\n' "$*" >&2; }

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

job_server() {
  local jar=$CACHE/job-server.jar artifact="org.apache.beam:beam-runners-flink-${FLINK%.*}-job-server" beam version
  if [ -n "${CXR_FLINK_JOB_SERVER:-}" ]; then
    [ -f "$CXR_FLINK_JOB_SERVER" ] || { say "CXR_FLINK_JOB_SERVER=$CXR_FLINK_JOB_SERVER: there is no such file"; exit 2; }
    ln -sf "$(realpath "$CXR_FLINK_JOB_SERVER")" "$jar"
    return
  fi
  [ ! -e "$jar" ] || return 0
  command -v mvn >/dev/null || { say "Maven is missing, which fetches $artifact. Remedy: 'apt-get install maven', or CXR_FLINK_JOB_SERVER=JAR"; return 1; }
  beam=$("$PYTHON" -c 'from importlib.metadata import version; print(version("apache-beam"))')
  for version in "$beam" LATEST; do # the newest is the nearest where that of our Beam is not there
    say "asking Maven for $artifact:$version"
    if mvn --batch-mode --quiet dependency:copy "-Dartifact=$artifact:$version" "-DoutputDirectory=$CACHE/maven" >"$CACHE/maven.log" 2>&1; then
      mv "$CACHE"/maven/*.jar "$jar"
      return
    fi
  done
  say "Maven has no $artifact, neither $beam nor another ($CACHE/maven.log): asking for its parts (tools/flink/pom.xml, 180 MB)"
  of_parts "$jar" && return
  say "Maven has not all of its parts either ($CACHE/maven.log)." \
    "Remedy: CXR_FLINK_JOB_SERVER=JAR make flink-test, with one that was built from Beam's sources (docs/scale.md)"
  return 1
}

# A jar that names the parts, and Flink's classes, as its class path.
of_parts() {
  local parts=$CACHE/parts
  rm -rf "$parts"
  mvn --batch-mode --quiet --file tools/flink/pom.xml dependency:copy-dependencies -DincludeScope=runtime \
    "-DoutputDirectory=$PWD/$parts" >"$CACHE/maven.log" 2>&1 || return 1
  "$PYTHON" - "$1" <<'PYTHON_END'
import pathlib, sys, zipfile
jar = pathlib.Path(sys.argv[1])
files = [*sorted(jar.parent.glob("parts/*.jar")), *jar.parent.glob("flink-dist/lib/flink-dist-*.jar")]
text = "Class-Path: " + " ".join(str(file.relative_to(jar.parent)) for file in files)
lines = [text[:70], *(" " + text[at : at + 69] for at in range(70, len(text), 69))]  # a manifest's lines have 72 bytes at most
with zipfile.ZipFile(jar, "w") as file:
    head = "Manifest-Version: 1.0", "Main-Class: org.apache.beam.runners.flink.FlinkJobServerDriver"
    file.writestr("META-INF/MANIFEST.MF", "\r\n".join([*head, *lines, "", ""]))
PYTHON_END
}

java -version >/dev/null 2>&1 || { say "Java (11 or 17) is missing. Remedy: 'apt-get install openjdk-17-jre-headless'"; exit 0; }
mkdir -p "$CACHE"
distribution && job_server || exit 0 # tests/flink say that they are skipped
