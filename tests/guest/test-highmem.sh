#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
total=$(awk '$1 == "MemTotal:" { print int($2 / 1024) }' /proc/meminfo)
if [ "$total" -lt 5120 ]; then
	echo "this host has $total MiB; the guest is given 5120"
	exit 77
fi
exec tests/guest/run-guest --memory 5120 tests/guest/guest_highmem
