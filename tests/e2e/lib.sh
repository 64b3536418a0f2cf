# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For the scripts of tests/e2e: results as "ok NAME" and "not ok NAME" lines, a scratch folder, the programs of the
# uninstalled build, a session of our own.
#
# Sets: top (the source tree), build, work (a scratch folder, removed at the end).

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=${BULKHEAD_BUILD:-$top/build}
work=$(mktemp -d "${TMPDIR:-/tmp}/bulkhead-e2e.XXXXXX") || exit
failures=0

# ok NAME COMMAND...: the command must succeed; its output is shown when it does not
ok() {
	local name=$1 out
	shift
	if out=$("$@" 2>&1); then
		echo "ok $name"
	else
		echo "not ok $name"
		printf '%s\n' "$out" | sed 's/^/#   /' | tail -n 40
		failures=$((failures + 1))
	fi
}

# fails NAME PATTERN COMMAND...: the command must fail with exactly one line on stderr that matches the extended pattern
fails() {
	local name=$1 pattern=$2 rc
	shift 2
	timeout 60 "$@" >"$work/out" 2>"$work/err" </dev/null
	rc=$?
	if [ $rc -ne 0 ] && [ $rc -ne 124 ] && [ "$(wc -l <"$work/err")" -eq 1 ] && grep -qE -- "$pattern" "$work/err"; then
		echo "ok $name"
	else
		echo "not ok $name (exit code $rc, wanted a line like: $pattern)"
		sed 's/^/#   stdout: /' "$work/out" | head -n 20
		sed 's/^/#   stderr: /' "$work/err" | head -n 20
		failures=$((failures + 1))
	fi
}

# in_bed COMMAND...: one of tests/bed's tools, its output to $work/out and $work/err. Nested emulation crashes or hangs the bed
# itself now and then, mostly while a guest starts its second processor; that says nothing of what ran in it: then it is tried
# again, aloud, unless a long check has lost more than ten minutes by it. A guest that hangs in a bed that answers is a failure at once, whatever
# the test asks for.
in_bed() {
	local try rc began
	for try in 1 2 3 4 5; do
		began=$SECONDS
		"$@" >"$work/out" 2>"$work/err"
		rc=$?
		grep -qE "^bed: (the bed does not answer|the bed's machine went away)" "$work/err" || break
		echo "# try $try: after $((SECONDS - began)) s: $(grep -m1 '^bed: the bed' "$work/err")"
		[ "${BULKHEAD_CHECK_LONG:-0}" -eq 0 ] || [ $((SECONDS - began)) -le 600 ] || return $rc
	done
	if grep -q '^guest: the guest did not power off' "$work/err"; then
		echo "not ok the guest did not power off: it hangs"
		sed 's/^/#   /' "$work/err" | tail -n 200
		failures=$((failures + 1))
	fi
	return $rc
}

# wait_for SECONDS COMMAND...: until it succeeds
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

# session: vmctl, vmmgmtd and the rest from the build, in a session of this test's own
session() {
	export XDG_RUNTIME_DIR=$work/run XDG_CONFIG_HOME=$work/config XDG_STATE_HOME=$work/state
	export BULKHEAD_LIBEXECDIR=$build/daemons
	mkdir -p "$XDG_CONFIG_HOME" "$XDG_STATE_HOME"
	mkdir -m 0700 "$XDG_RUNTIME_DIR"
	PATH=$build/cli:$PATH
}

# alone FILE [ARGUMENT...]: once, run the test again in a mount and a network namespace of its own
alone() {
	[ -z "${BULKHEAD_TEST_ALONE:-}" ] || return 0
	rm -rf "$work"
	BULKHEAD_TEST_ALONE=1 exec unshare --mount --net --propagation private -- "$@"
}

# host_manager: the host's vmmgmtd, until it serves
host_manager() {
	"$build/daemons/vmmgmtd/vmmgmtd" --system --fork >>"$work/manager.log" 2>&1 &
	disown
	wait_for 10 vmctl list >/dev/null 2>&1
}

# host: as session, but of a host: a manager that may make network devices, on a system bus of this test's own, which is alone
host() {
	local folder
	session
	for folder in /run /var/lib /var/log; do mount -t tmpfs none $folder; done
	mount -t sysfs none /sys # that of the network namespace
	ip link set lo up
	cat >"$work/bus.conf" <<-XML
	<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
	<busconfig><type>system</type><listen>unix:path=/run/system-bus</listen><auth>EXTERNAL</auth>
	<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/><allow eavesdrop="false"/></policy></busconfig>
	XML
	mkdir "$work/host"
	printf '#!/bin/sh\nexec "%s/cli/vmctl" --system "$@"\n' "$build" >"$work/host/vmctl"
	chmod +x "$work/host/vmctl"
	PATH=$work/host:$PATH
	export DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/system-bus
	dbus-daemon --config-file="$work/bus.conf" --nofork --nopidfile 2>"$work/bus.log" &
	disown
	wait_for 10 test -S /run/system-bus
	host_manager
}

# ours NAME: process ids of our daemons of this name that belong to this test's session
ours() {
	local pid
	for pid in $(pgrep -x "$1"); do
		tr '\0' '\n' 2>/dev/null </proc/"$pid"/environ | grep -qxF "XDG_RUNTIME_DIR=$work/run" && echo "$pid"
	done
}

# kill_ours NAME...: SIGKILL
kill_ours() {
	local name pid
	for name; do
		for pid in $(ours "$name"); do kill -KILL "$pid" 2>/dev/null; done
	done
}

cleanup() {
	trap '' INT TERM HUP # not half of it
	kill_ours vmmgmtd vmworker vsp-storaged vsp-netd passt passt.avx2 dbus-daemon
	rm -rf "$work"
}
trap cleanup EXIT
# The bed's tools end with 130 by it, which to a shell means that they have seen to it.
trap 'exit 130' INT

# finish: the last line of a test
finish() { [ "$failures" -eq 0 ]; exit; }
