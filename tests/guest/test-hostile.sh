#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
exec "$(dirname "$0")/with-disk" tests/guest/guest_hostile
