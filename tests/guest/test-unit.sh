#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# As test-recovery.sh and test-deaths.sh, where a service manager runs vsp-storaged: the worker is told how it has died.
here=$(dirname "$0")
storaged=tests/deaths/vsp-storaged-deaths
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
trap 'exit 1' HUP INT TERM

# run PATTERN RUN-GUEST-OPTION...: the line about the service must be so
run() {
	local pattern=$1 rc
	shift
	"$here/with-disk" --as-a-unit "$here/as-a-unit" --print-services "$@" tests/guest/guest_recovery >"$out" 2>&1
	rc=$?
	[ $rc -ne 77 ] || { cat "$out"; exit 77; }
	[ $rc -ne 0 ] || ! grep -aqE "^storage: $pattern" "$out" || return 0
	cat "$out"
	echo "FAILED: $rc: not \"$pattern\": $*"
	exit 1
}

run 'deaths [1-9][0-9]* upgrades 0 .* lost 0 duplicate 0 failed 0 .*killed by signal 9 \(KILL\)' \
	--append 'seconds=2 depth=16' --kill-from 'guest: load' --kill-storaged 50 --kills 3
run 'deaths 0 upgrades [1-3] replayed 0 lost 0 duplicate 0 failed 0' --append 'seconds=3 depth=32 seed=3' --upgrade '' --upgrades 3
# who is started again ever more slowly, for its own fault, while the guest waits
BULKHEAD_DEATHS=accept-slot:8,attached@ABRT,ready@SEGV,attached@SYS run 'deaths 4 .* lost 0 duplicate 0 failed 0 .*signal 31 \(SYS\)' \
	--storaged $storaged --append 'ops=40 depth=32 blocks=4096'
# the request that it dies of each time
BULKHEAD_DEATHS=- BULKHEAD_DEATHS_POISON=SEGV run 'deaths 4 .* lost 0 duplicate 0 failed 1 .*signal 11 \(SEGV\)' \
	--storaged $storaged --append 'ops=40 depth=16 blocks=512 poison=20'
[ "$(grep -ac 'request in slot [0-9]* failed to the guest' "$out")" = 1 ] || { cat "$out"; echo "FAILED: not logged once"; exit 1; }
