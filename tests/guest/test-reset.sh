#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Resets, and resets while vsp-storaged is killed again and again.
here=$(dirname "$0")
"$here/with-disk" --resets 3 tests/guest/guest_reset || exit
exec "$here/with-disk" --resets 3 --kill-storaged 11 --kills 60 tests/guest/guest_reset
