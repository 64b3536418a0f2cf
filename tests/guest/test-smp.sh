#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
exec tests/guest/run-guest --cpus 64 --append cpus=64 tests/guest/guest_smp
