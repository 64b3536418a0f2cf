#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
n=1200 seconds=150
[ "${BULKHEAD_CHECK_LONG:-0}" != 1 ] || n=100000 seconds=800
exec tests/guest/run-guest --timeout "$seconds" --cpus 2 --append "interrupts=$n" tests/guest/guest_uart
