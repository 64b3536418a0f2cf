#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
exec "$(dirname "$0")/with-disk" --cpus 64 --timeout 300 --append cpus=64 tests/guest/guest_cpus
