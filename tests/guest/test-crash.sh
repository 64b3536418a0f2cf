#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A panic that stays one; one that is followed by a reset; one that is followed by a crash kernel.
for then in 0 1; do
	tests/guest/run-guest --expect-crash --message 'it ?[1mhad to be' --append then=$then tests/guest/guest_crash || exit
done
exec tests/guest/run-guest --message 'it ?[1mhad to be' --append then=2 tests/guest/guest_crash
