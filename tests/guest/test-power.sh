#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
exec tests/guest/run-guest --cpus 2 --resets 4 tests/guest/guest_power
