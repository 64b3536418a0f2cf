#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
exec tests/guest/run-guest tests/guest/guest_hv
