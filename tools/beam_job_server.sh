# shellcheck shell=bash
# What tools/flink.sh and tools/spark.sh share: Beam's job server for an engine, from Maven. They source this and have set ENGINE, CACHE, PYTHON.

say() { printf '%s: %s\n' "$ENGINE" "$*" >&2; }

has_java() {
  java -version >/dev/null 2>&1 || { say "Java (11 or 17) is missing. Remedy: 'apt-get install openjdk-17-jre-headless'"; return 1; }
}

# usage: job_server ARTIFACT RUNNER MAIN-CLASS [JAR ...]; the last are classes of the engine
job_server() {
  local jar=$CACHE/job-server.jar artifact="org.apache.beam:$1" named=CXR_${ENGINE^^}_JOB_SERVER beam version
  shift
  if [ -n "${!named:-}" ]; then
    [ -f "${!named}" ] || { say "$named=${!named}: there is no such file"; exit 2; }
    ln -sf "$(realpath "${!named}")" "$jar"
    return
  fi
  [ ! -e "$jar" ] || return 0
  command -v mvn >/dev/null || { say "Maven is missing, which fetches $artifact. Remedy: 'apt-get install maven', or $named=JAR"; return 1; }
  beam=$("$PYTHON" -c 'from importlib.metadata import version; print(version("apache-beam"))')
  for version in "$beam" LATEST; do # the newest is the nearest where that of our Beam is not there
    say "asking Maven for $artifact:$version"
    if mvn --batch-mode --quiet dependency:copy "-Dartifact=$artifact:$version" "-DoutputDirectory=$CACHE/maven" >"$CACHE/maven.log" 2>&1; then
      mv "$CACHE"/maven/*.jar "$jar"
      return
    fi
  done
  say "Maven has no $artifact, neither $beam nor another ($CACHE/maven.log): asking for its parts (tools/beam_job_server/pom.xml, 180 MB)"
  _of_parts "$jar" "$@" && return
  say "Maven has not all of its parts either ($CACHE/maven.log)." \
    "Remedy: $named=JAR make $ENGINE-test, with one that was built from Beam's sources (docs/scale.md)"
  return 1
}

# A jar that names the parts, and then the engine's classes, as its class path.
_of_parts() {
  local jar=$1 runner=$2 main=$3 parts=$CACHE/parts
  shift 3
  rm -rf "$parts"
  mvn --batch-mode --quiet --file tools/beam_job_server/pom.xml dependency:copy-dependencies "-Drunner=$runner" -DincludeScope=runtime \
    "-DoutputDirectory=$PWD/$parts" >"$CACHE/maven.log" 2>&1 || return 1
  "$PYTHON" - "$jar" "$main" "$parts"/*.jar "$@" <<'PYTHON_END'
import os.path, sys, zipfile
jar, main, *files = sys.argv[1:]
text = "Class-Path: " + " ".join(os.path.relpath(file, os.path.dirname(jar)) for file in files)
lines = [text[:70], *(" " + text[at : at + 69] for at in range(70, len(text), 69))]  # a manifest's lines have 72 bytes at most
with zipfile.ZipFile(jar, "w") as file:
    file.writestr("META-INF/MANIFEST.MF", "\r\n".join(["Manifest-Version: 1.0", f"Main-Class: {main}", *lines, "", ""]))
PYTHON_END
}
