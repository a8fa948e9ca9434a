#!/usr/bin/env bash
# Builds the documentation as a site in build/site: README, docs/ and the reference of the public functions. zensical.toml says how.
# Links in a git-ignored folder show the pages as they link to each other, and the packages under the name they are imported by.
set -euo pipefail
cd "$(dirname "$0")/.."

rm -rf build/docs
for file in README.md CONTRIBUTING.md CHANGELOG.md $(find docs -type f); do
  mkdir -p "build/docs/pages/$(dirname "$file")"
  ln -s "$PWD/$file" "build/docs/pages/$file"
done
mkdir -p build/docs/code/cxr
for folder in core data trainer serving components pipeline kubeflow; do
  ln -s "$PWD/$folder" build/docs/code/cxr/
done
.venv/bin/zensical build --strict "$@"
echo "build/site/index.html"
