#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
exec tests/guest/run-guest --cpus 3 --append cpus=3 tests/guest/guest_smp
