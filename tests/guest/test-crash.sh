#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
exec tests/guest/run-guest --expect-crash --message 'it ?[1mhad to be' tests/guest/guest_crash
