#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
tests/guest/run-guest tests/guest/guest_contact || exit
exec "$(dirname "$0")/with-disk" --append controllers=1 tests/guest/guest_contact
