#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
exec "$(dirname "$0")/with-disk" --resets 3 tests/guest/guest_reset
