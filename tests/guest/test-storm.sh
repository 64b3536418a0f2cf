#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
exec tests/guest/run-guest --resets 8 tests/guest/guest_storm
