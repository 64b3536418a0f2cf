#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A NIC whose frames come back: undisturbed, while vsp-netd is replaced by another one again and again, and while it is killed.
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
trap 'exit 1' HUP INT TERM
tests/guest/run-guest --nic --append 'frames=200' tests/guest/guest_nic || exit
tests/guest/run-guest --nic --print-services --append 'frames=800 lost=6' --upgrade daemons/vsp-netd/vsp-netd --upgrades 3 tests/guest/guest_nic >"$out" 2>&1
rc=$?
cat "$out"
[ $rc -eq 0 ] && grep -q '^network: deaths 0 upgrades [1-3] replayed 0 lost 0 duplicate 0 failed 0' "$out" || exit 1
tests/guest/run-guest --nic --print-services --append 'frames=400 lost=6' --kill-storaged 150 --kills 5 --kill-from 'guest: load' \
	tests/guest/guest_nic >"$out" 2>&1
rc=$?
cat "$out"
[ $rc -eq 0 ] && grep -q '^network: deaths [1-9][0-9]* upgrades 0 replayed [0-9]* lost 0 duplicate 0 failed 0' "$out"
