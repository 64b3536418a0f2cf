#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The guest resets itself in every way; of a triple fault the worker's log says which vCPU it was.
out=$(tests/guest/run-guest --cpus 2 --resets 4 tests/guest/guest_power 2>&1)
rc=$?
echo "$out"
echo "$out" | grep -q "vCPU 0: triple fault" || exit 1
exit $rc
