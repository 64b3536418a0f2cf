#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A guest with many requests in flight: undisturbed; while vsp-storaged is killed again and again; while it is
# replaced; while it hangs: under load, and then each successor before it is ready.
here=$(dirname "$0")
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
trap 'exit 1' HUP INT TERM

# run RUN-GUEST-OPTION...: then the line about the service is in $out
run() {
	"$here/with-disk" --print-services "$@" tests/guest/guest_recovery >"$out" 2>&1
	rc=$?
	[ $rc -eq 0 ] || { cat "$out"; exit $rc; }
	grep -a '^recovery: \|^storage: ' "$out"
}

# expect PATTERN: in the line about the service
expect() {
	grep -aE '^storage: ' "$out" | grep -qE "$1" || { cat "$out"; echo "not as expected: $1"; exit 1; }
}

run --append 'ops=500 depth=32'
expect 'deaths 0 upgrades 0 replayed 0 lost 0 duplicate 0 failed 0'
run --append 'ops=1000 depth=32 seed=2' --kill-storaged 150
expect 'deaths [1-9][0-9]* upgrades 0 replayed [0-9]* lost 0 duplicate 0 failed 0'
# over a channel for each of four vCPUs
run --cpus 4 --append 'ops=500 depth=32 channels=4 seed=6'
expect 'deaths 0 upgrades 0 replayed 0 lost 0 duplicate 0 failed 0'
run --cpus 4 --append 'ops=1000 depth=32 channels=4 seed=7' --kill-storaged 150
expect 'deaths [1-9][0-9]* upgrades 0 replayed [0-9]* lost 0 duplicate 0 failed 0'
run --cpus 4 --append 'ops=500 depth=32 channels=4 seed=8' --upgrade daemons/vsp-storaged/vsp-storaged --upgrades 2
expect 'deaths 0 upgrades 2 replayed 0 lost 0 duplicate 0 failed 0'
# no sooner ready than killed, and often before: nothing hangs
for ms in 7 11; do
	run --append "ops=300 depth=32 seed=$ms" --kill-storaged $ms --kills 60
	expect 'deaths [1-9][0-9]* upgrades 0 replayed [0-9]* lost 0 duplicate 0 failed 0'
done
run --append 'ops=700 depth=32 seed=3' --upgrade daemons/vsp-storaged/vsp-storaged --upgrades 5
expect 'deaths 0 upgrades 5 replayed 0 lost 0 duplicate 0 failed 0'

# A process is stopped once it is seen. The first one serves then; its successors are seen when they are started. A slow
# machine may find more to hang.
BULKHEAD_PING_MS=250
export BULKHEAD_PING_MS
run --append 'ops=1500 depth=32 seed=4' --kill-from 'guest: load' --stop-storaged 50 --kills 1
expect 'deaths [1-9] upgrades 0 replayed [0-9]* lost 0 duplicate 0 failed 0 hangs [1-9] '
run --append 'ops=1500 depth=32 seed=5' --kill-from 'guest: load' --stop-storaged 1 --kills 3
expect 'deaths [3-9] upgrades 0 replayed [0-9]* lost 0 duplicate 0 failed 0 hangs [3-9] '
grep -q 'does not attach: killed\|does not become ready: killed' "$out" || echo "note: every process had become ready before it was stopped"
