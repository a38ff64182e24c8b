# shellcheck shell=bash
# For the lanes, which run in bash at the top of the tree.
set -uo pipefail
jobs=${FARCALL_JOBS:-$(nproc)}

# Builds a preset; what it prints is shown only if it fails.
build() {
	local log
	log=$(mktemp)
	if ! { cmake --preset "$1" && cmake --build --preset "$1" -j"$jobs"; } >"$log" 2>&1; then
		tail -n 60 "$log"
		rm -f "$log"
		return 1
	fi
	rm -f "$log"
}

# Builds and tests a preset; the last lines printed are ctest's summary.
build_and_test() {
	build "$1" && ctest --preset "$1" -j"$jobs" --no-label-summary
}

# Our sources in these folders with this suffix, without what protoc made: sources SUFFIX FOLDER...
sources() {
	local suffix=$1
	shift
	find "$@" -name "*.$suffix" ! -name '*.pb-c.*' ! -name '*.farcall.*' ! -path '*/build/*' | sort
}
