#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Resets, and resets while vsp-storaged is killed again and again.
here=$(dirname "$0")
"$here/with-disk" --resets 3 tests/guest/guest_reset || exit
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
trap 'exit 1' HUP INT TERM
"$here/with-disk" --resets 3 --kill-storaged 11 --kills 60 --print-services tests/guest/guest_reset >"$out" 2>&1 || { cat "$out"; exit 1; }
grep -aE '^storage: deaths [1-9][0-9]* .* lost 0 duplicate 0 failed 0 ' "$out" || { cat "$out"; echo "nobody was killed"; exit 1; }
