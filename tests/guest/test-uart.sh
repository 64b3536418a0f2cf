#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
n=1600
[ "${BULKHEAD_CHECK_LONG:-0}" != 1 ] || n=100000
exec tests/guest/run-guest --cpus 2 --append "interrupts=$n" tests/guest/guest_uart
