#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# vsp-storaged dies at each of its death points (base/death.h) while a guest has requests in flight: the guest does not notice,
# no request is lost or answered twice. A point that only a successor passes is reached by a death before. With
# BULKHEAD_CHECK_LONG=1 each point's successor also dies at each point of recovery, and in more than one place.
here=$(dirname "$0")
storaged=tests/deaths/vsp-storaged-deaths
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
trap 'exit 1' HUP INT TERM
failures=0 runs=0

# die PLAN [RUN-GUEST-OPTION...]: one run; each entry of the plan must have been a death.
die() {
	local plan=$1 commas rc
	shift
	commas=${plan//[^,]/}
	BULKHEAD_DEATHS=$plan "$here/with-disk" --storaged $storaged --print-services --append 'ops=40 depth=16 blocks=512' "$@" \
		tests/guest/guest_recovery >"$out" 2>&1
	rc=$?
	[ $rc -ne 77 ] || { cat "$out"; exit 77; }
	runs=$((runs + 1))
	[ $rc -ne 0 ] || grep -aqE "^storage: deaths $((${#commas} + 1)) .* lost 0 duplicate 0 failed 0" "$out" || rc=service
	[ $rc != 0 ] || return 0
	echo "FAILED ($rc): BULKHEAD_DEATHS=$plan $*"
	sed 's/^/    /' "$out"
	failures=$((failures + 1))
}

# plan POINT NTH: how to get there
plan() {
	case $1 in
	attached | offered | ready) echo "accept-slot:$2,$1" ;; # the first process must start well
	open-* | opened | outcome-state | outcome-sequence) echo "$1" ;;	   # passed once, or only by the driver's first messages
	recover-state) echo "outcome-state,$1" ;;
	recover-commit) echo "commit-valid:$2,$1" ;;
	recover-*) echo "accept-slot:$2,$1" ;;
	*) echo "$1:$2" ;;
	esac
}

points=$($storaged --deaths) || exit 1
for point in $points; do
	# not here: a hand-over is asked for, and only who dies of its own fault leaves a successor that tries one by one
	case $point in hand-over | recover-trial) continue ;; esac
	die "$(plan "$point" 12)"
done
# five that die before they are ready are started again ever more slowly: the ring fills meanwhile
die accept-slot:8,attached,ready,attached,attached,attached --append 'ops=40 depth=32 blocks=4096'
if ! grep -aq 'ring full [1-9]' "$out"; then
	cat "$out"
	echo "FAILED: the ring was never full"
	failures=$((failures + 1))
fi
[ "${BULKHEAD_CHECK_LONG:-0}" != 1 ] || for point in $points; do
	case $point in attached | offered | ready | open-* | opened | outcome-st* | outcome-seq* | recover-* | hand-over) continue ;; esac
	die "$(plan "$point" 1)"
	die "$(plan "$point" 30)"
	for second in attached offered ready open-mapped opened recover-checked recover-accept recover-published recover-signalled; do
		die "$(plan "$point" 12),$second"
	done
done
echo "$runs runs, $failures failed"
[ $failures -eq 0 ]
