#!/bin/sh
# Writes generated/ and tests/golden/ anew, with the plugin of a build folder.
#   scripts/regenerate.sh [build/debug]
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
build=${1:-$top/build/debug}
plugin=$(cd "$build" && pwd)/bin/protoc-gen-farcall
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
set -- -DPROTOC="$(command -v protoc)" -DPROTOC_C_PLUGIN="$(command -v protoc-gen-c)" \
	-DPLUGIN="$plugin" -DIDL="$top/idl"
cmake "$@" -DOUT="$top/generated" -P "$top/generated/regenerate.cmake"
cmake "$@" -DOUT="$scratch/golden" -DUPDATE=ON -P "$top/tests/golden/golden.cmake"
