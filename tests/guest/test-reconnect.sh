#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
exec "$(dirname "$0")/with-disk" --timeout 120 tests/guest/guest_reconnect
