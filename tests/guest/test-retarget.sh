#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
exec "$(dirname "$0")/with-disk" --cpus 2 tests/guest/guest_retarget
