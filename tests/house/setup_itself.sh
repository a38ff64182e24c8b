#!/bin/bash
# setup_itself.sh SETUP: scripts/setup on machines that lack something, played by programs of the same names in
# a folder that stands first in PATH. Each failure must be one line that says what is wrong, and exit 1.
set -uo pipefail
setup=$1
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
mistakes=0

# program NAME BODY: a program of that name.
program() {
	printf '#!/bin/sh\n%s\n' "$2" >"$folder/bin/$1"
	chmod +x "$folder/bin/$1"
}

# A machine with everything installed, root, and tools that setup may use.
machine() {
	rm -rf "${folder:?}/bin" "$folder/done"
	mkdir "$folder/bin"
	for tool in sh grep tr wc mktemp rm tail head cat touch; do
		ln -s "$(command -v $tool)" "$folder/bin/$tool"
	done
	program id 'echo 0'
	program dpkg-query 'echo "install ok installed"'
	program apt-get "touch $folder/done; exit 0"
}

# expect WHAT STATUS PATTERN LINES [ARGUMENT]: runs setup and judges what it says.
expect() {
	local what=$1 status=$2 pattern=$3 lines=$4 said got
	said=$(PATH=$folder/bin "$folder/bin/sh" "$setup" ${5:+"$5"} 2>&1)
	got=$?
	if [ $got != "$status" ] || ! grep -q -e "$pattern" <<<"$said" || [ "$(wc -l <<<"$said")" != "$lines" ]; then
		echo "$what: exit $got, said: $said"
		mistakes=$((mistakes + 1))
	fi
}

lacks() {
	program dpkg-query "for p; do :; done; [ \"\$p\" != $1 ] || [ -e $folder/done ] || exit 1; echo 'install ok installed'"
}

machine
program apt-get 'exit 1'
expect "nothing missing needs no apt-get" 0 "everything is installed" 1
program id 'echo 1000'
expect "nothing missing needs no root" 0 "everything is installed" 1 --full
expect "an unknown option" 1 "unknown option --fast" 1 --fast

machine
lacks libcmocka-dev
expect "one is missing" 0 "installing libcmocka-dev" 2

machine
lacks cppcheck
expect "analysers only with --full" 0 "everything is installed" 1
expect "analysers with --full" 0 "installing cppcheck" 2 --full

machine
lacks libcmocka-dev
program id 'echo 1000'
expect "not root" 1 "not root.*libcmocka-dev" 1

machine
lacks libcmocka-dev
rm "$folder/bin/apt-get"
expect "no apt-get" 1 "apt-get is missing.*libcmocka-dev" 1

machine
rm "$folder/bin/dpkg-query"
expect "no Debian" 1 "no Debian.*libcmocka-dev" 1

machine
lacks libcmocka-dev
program apt-get 'echo "E: Temporary failure resolving deb.example" >&2; exit 100'
expect "no network" 1 "is there a network.*Temporary failure" 2

machine
lacks libcmocka-dev
program apt-get '[ "$1" = update ] && exit 0; echo "E: Unable to locate package libcmocka-dev"; exit 100'
expect "no such package" 1 "could not install libcmocka-dev: E: Unable to locate" 2

machine
lacks libcmocka-dev
program apt-get 'exit 0'
expect "apt-get lies" 1 "libcmocka-dev is still not installed" 2

echo "$mistakes mistakes"
[ $mistakes = 0 ]
