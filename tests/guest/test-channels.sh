#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
exec "$(dirname "$0")/with-disk" --storaged tests/guest/vsp-channels tests/guest/guest_channels
