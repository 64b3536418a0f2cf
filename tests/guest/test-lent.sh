#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Memory that is lent to a device and wanted back: undisturbed, with resets; while the device's process dies where it stores
# what it has sent and what has come back; while it is killed at any moment, or hangs.
here=$(dirname "$0")
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
trap 'exit 1' HUP INT TERM

# run PATTERN RUN-GUEST-OPTION...: what the line about the service must look like
run() {
	pattern=$1
	shift
	"$here/with-disk" --storaged tests/deaths/vsp-own-deaths --print-services "$@" tests/guest/guest_lent >"$out" 2>&1
	rc=$?
	[ $rc -eq 0 ] || { cat "$out"; exit $rc; }
	grep -aqE "^storage: $pattern" "$out" || { cat "$out"; echo "not as expected: $pattern"; exit 1; }
}

run 'deaths 0 .* lost 0 duplicate 0 failed 0' --resets 2 --append resets=2
for plan in own-table:120,own-freed:7,own-written:3 own-freed:140,own-told:1,recover-published own-sent:2,own-cursor:2,own-written:90; do
	BULKHEAD_DEATHS=$plan
	export BULKHEAD_DEATHS
	run 'deaths 3 .* lost 0 duplicate 0 failed 0'
done
unset BULKHEAD_DEATHS
run 'deaths [0-9]* .* lost 0 duplicate 0 failed 0' --kill-storaged 15 --kills 12
# who hangs when the guest wants it back is killed for it
BULKHEAD_PING_MS=500 BULKHEAD_DEATHS=own-freed:240@STOP
export BULKHEAD_PING_MS BULKHEAD_DEATHS
run 'deaths [1-9][0-9]* .* lost 0 duplicate 0 failed 0 hangs [1-9]'
