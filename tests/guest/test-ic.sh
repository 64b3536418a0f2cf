#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Integration services: every version; requests that are refused, broken off, answered by something else; hostile guests.
set -e
run() { echo "# $*"; tests/guest/run-guest "$@" tests/guest/guest_ic; }
run --ask reboot --ask shutdown --resets 1 --reason 'guest shutdown'
run --ask shutdown+reboot --answer 'has been asked to shut down before' --reason 'guest shutdown'
# the guest resets itself instead, starts again in the same way, and is stopped
run --append mode=1 --ask shutdown --answer refuses --ask reboot --answer 'has closed its shutdown service' \
	--ask shutdown --answer 'has closed its shutdown service' --ask shutdown --answer 'did not shut down: guest reset' \
	--ask shutdown --answer refuses --ask shutdown --answer 'has closed' --ask shutdown --answer 'has closed' \
	--ask reboot --resets 2 --then-stop
run --append mode=2 --ask shutdown --answer 'has no shutdown service' --then-stop
run --append mode=3 --ask shutdown --ask-timeout 1000 --answer 'has agreed to shut down, but has not done so within 1 s' \
	--then-stop
run --append mode=3 --ask shutdown --ask-timeout 0 --then-stop
run --append mode=4 --ask shutdown --reason 'guest shutdown'
