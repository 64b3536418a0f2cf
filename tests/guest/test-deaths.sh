#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# vsp-storaged dies at each of its death points (base/death.h) while a guest has requests in flight: the guest does not notice,
# no request is lost or answered twice. A point that only a successor passes is reached by deaths before. Then the request that
# it dies of each time: of its own faults, the guest is told so, and goes on. With BULKHEAD_CHECK_LONG=1 each point's
# successor also dies at each point of recovery, and in more than one place.
here=$(dirname "$0")
storaged=tests/deaths/vsp-storaged-deaths
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
trap 'exit 1' HUP INT TERM
failures=0 runs=0

# run DEATHS FAILED PLAN [RUN-GUEST-OPTION...]: one run, in which the service dies so often and fails so many requests
run() {
	local deaths=$1 failed=$2 plan=$3 rc
	shift 3
	BULKHEAD_DEATHS=$plan "$here/with-disk" --storaged $storaged --print-services --append 'ops=40 depth=16 blocks=512' "$@" \
		tests/guest/guest_recovery >"$out" 2>&1
	rc=$?
	[ $rc -ne 77 ] || { cat "$out"; exit 77; }
	runs=$((runs + 1))
	[ $rc -ne 0 ] || grep -aqE "^storage: deaths $deaths .* lost 0 duplicate 0 failed $failed " "$out" || rc=service
	# sound state is never refused
	[ $rc != 0 ] || [ -n "${BULKHEAD_DEATHS_SPOIL:-}" ] || ! grep -aq 'did not take it up again' "$out" || rc=dead
	[ $rc != 0 ] || return 0
	fail "$rc: not $deaths deaths, $failed failed: BULKHEAD_DEATHS=$plan $*"
}

fail() {
	echo "FAILED: $1"
	sed 's/^/    /' "$out"
	failures=$((failures + 1))
	return 1
}

# die PLAN [RUN-GUEST-OPTION...]: each entry of the plan must have been a death.
die() {
	local commas=${1//[^,]/}
	run $((${#commas} + 1)) 0 "$@"
}

# plan POINT NTH: how to get there
plan() {
	case $1 in
	attached | offered | ready) echo "accept-slot:$2,$1" ;; # the first process must start well
	open-* | opened | outcome-state | outcome-sequence) echo "$1" ;;	   # passed once, or only by the driver's first messages
	marked) echo "$1" ;; # once a COMPARE AND WRITE, of which there are not so many
	recover-state) echo "outcome-state,$1" ;;
	recover-commit) echo "commit-valid:$2,$1" ;;
	# whose predecessors died of their own fault; who is killed then does not make a culprit of whom it tried
	recover-trial) echo "accept-slot:$2@SEGV,ready@ABRT,ready@SYS,$1" ;;
	recover-*) echo "accept-slot:$2,$1" ;;
	*) echo "$1:$2" ;;
	esac
}

points=$($storaged --deaths) || exit 1
for point in $points; do
	case $point in
	hand-over) # is asked for
		die hand-over --upgrade $storaged --append 'seconds=2 depth=16 blocks=512'
		grep -aq '^storage: deaths 1 upgrades 1 ' "$out" || fail "no upgrade: $point"
		;;
	reserve-*) ;; # of a disk that others share: test_deaths
	own-* | net-*) ;; # of a device that sends packets of its own: test_deaths_own, test_deaths_net
	*) die "$(plan "$point" 30)" ;;
	esac
done
# over a channel for each of four vCPUs, some of which the successor has taken over when it dies, too
for point in accept-cursor outcome-done commit-valid commit-cursor; do
	die "$point:30,recover-signalled:3,opened:2" --cpus 4 --append 'ops=40 depth=16 blocks=512 channels=4'
done
# who is killed from outside, however often, leaves nobody that tries one by one
run 5 0 accept-slot:30@TERM,recover-replay,recover-replay@TERM,recover-replay,recover-replay@TERM,recover-trial
# seen TEXT COMMAND...: what depends on how many requests are under way when a process dies is tried a few times
seen() {
	local text=$1
	shift
	for _ in 1 2 3 4 5; do
		"$@"
		grep -aqE "$text" "$out" && return
	done
	fail "not seen: $text"
}
# who dies before it is ready is started again ever more slowly: the ring fills meanwhile
seen 'ring full [1-9]' die accept-slot:10,attached,ready,attached,attached,attached,attached,attached --append 'ops=40 depth=32 blocks=4096'
# who hangs with requests under way is killed, and they are done again
for point in accept-slot accept-cursor outcome-reply; do
	# on a slow machine it is taken for one that hangs before it comes to that point, when nothing is under way
	for ms in 250 500 1000 2000 4000; do
		export BULKHEAD_PING_MS=$ms
		run '[1-9]' 0 $point:80@STOP --append 'ops=200 depth=16 blocks=512'
		grep -aqE '^storage: .* replayed [1-9].* hangs [1-9]' "$out" && continue 2
	done
	fail "nothing was replayed: $point"
done
unset BULKHEAD_PING_MS
# poison SIGNAL DEATHS PLAN: three die of a request, the next tries alone what is in flight and dies too, the last fails it, once
poison() {
	export BULKHEAD_DEATHS_POISON=$1
	run $(($2 + 4)) 1 "$3" --append 'ops=40 depth=16 blocks=512 poison=20'
	[ "$(grep -ac 'request in slot [0-9]* failed to the guest' "$out")" = 1 ] || fail "not logged once: $1"
	unset BULKHEAD_DEATHS_POISON
}
poison ABRT 0 -
poison SYS 0 -
# first the ring fills, so that others are in flight with it
seen 'taken over: ([2-9]|[1-9][0-9]) requests' poison SEGV 4 accept-slot:20,attached,attached,attached
# what a hostile one leaves behind is refused: the channel is dead, and that is all; the guest's next one works
while read -r spoil said; do
	export BULKHEAD_DEATHS_SPOIL=$spoil
	run 1 0 accept-slot:30 --append 'ops=100000 depth=16 blocks=512 dead=1' --tell-when "$said"
	grep -aqF "scsi0: the state that its last service left cannot be used: $said" "$out" || fail "not logged: $spoil"
	grep -aq 'did not take it up again .*: it does not answer until the guest closes it' "$out" || fail "not dead: $spoil"
	grep -aq '^guest: channel dead' "$out" || fail "the guest saw nothing: $spoil"
	grep -aq 'runs again, but 1 of its channels could not be taken up' "$out" || fail "the dead channel is not told of: $spoil"
	! grep -aq 'serves again after' "$out" || fail "it is said to serve: $spoil"
done < <($storaged --spoils)
unset BULKHEAD_DEATHS_SPOIL
[ "${BULKHEAD_CHECK_LONG:-0}" != 1 ] || for point in $points; do
	case $point in attached | offered | ready | open-* | opened | outcome-st* | outcome-seq* | recover-* | hand-over | reserve-* | own-* | net-*) continue ;; esac
	die "$(plan "$point" 1)"
	die "$(plan "$point" 30)"
	for second in attached offered ready open-mapped opened recover-checked recover-accept recover-published recover-signalled; do
		die "$(plan "$point" 12),$second"
	done
done
echo "$runs runs, $failures failed"
[ $failures -eq 0 ]
