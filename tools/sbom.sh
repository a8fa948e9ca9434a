#!/usr/bin/env bash
# Writes what the images hold of Python as CycloneDX: build/sbom/cpu.cdx.json and gpu.cdx.json, from the lock files that the images are
# made of, hashes included. Equal locks give equal files. What the base image adds (Debian) is for the image's builder to say:
# deploy/image/Dockerfile has the command.
#
# usage: tools/sbom.sh [OPTION of cyclonedx-py requirements]...      --no-validate: without the check against the schema, which takes seconds
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p build/sbom
for image in cpu gpu; do
  lock=requirements/run.lock
  [ "$image" = cpu ] || lock=requirements/gpu.lock
  # Without the qualifiers a package is named as by everyone, not by the index that this machine asks.
  .venv/bin/python -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml --output-reproducible --short-PURLs -o "build/sbom/$image.cdx.json" "$@" "$lock"
  echo "build/sbom/$image.cdx.json"
done
