#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
exec "$(dirname "$0")/with-disk" --append 'ops=1500 depth=32' tests/guest/guest_recovery
