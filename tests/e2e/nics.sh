# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# For the tests of NICs under stock guests in the bed: words for the shell in the bed, and for that in the guest.
#
# Both tell each other where they are in blocks of a disk, flag: "says N" waits for word N of the other side's "say N".

# The bed's: a bridge at 10.98.0.1 with a tap tap0, VLAN 7 of it at 10.97.0.1, iperf3's server; then the VM that runs, and its disk.
# shellcheck disable=SC2016,SC2034 # for the shell in the bed; used by who reads this
nics_beside='
	says() { until dd if="$flag" bs=4096 skip=$1 count=1 2>/dev/null | grep -q said; do sleep 0.1; done; }
	say() { printf said | dd of="$flag" bs=4096 seek=$1 conv=notrunc 2>/dev/null; }
	ip link add br0 type bridge; ip link set br0 mtu 9000 up; ip addr add 10.98.0.1/24 dev br0
	ip link add link br0 name br0.7 type vlan id 7; ip addr add 10.97.0.1/24 dev br0.7; ip link set br0.7 up
	ip tuntap add tap0 mode tap multi_queue vnet_hdr; ip link set tap0 mtu 9000 master br0 up
	iperf3 -s -D
	until vmctl list 2>/dev/null | grep -q running; do sleep 0.2; done
	vm=$(vmctl list | awk "/running/ {print \$1}")
	flag=$(vmctl disk list "$vm" | awk "NR == 2 {print \$NF}")
'

# The guest's: find_nic MAC sets nic; got WHAT COMMAND... prints WHAT when the command succeeds, else what it has printed; iperf as got, and
# how fast, too; tcp NAME: a number of /proc/net/snmp; clean says "bad" when the kernel has complained, or a task of it waits for what
# does not come: where.
# shellcheck disable=SC2016,SC2034
nics_guest='
	says() { until dd if=/dev/bed0 bs=4096 skip=$1 count=1 iflag=direct 2>/dev/null | grep -q said; do sleep 0.1; done; }
	say() { printf said | dd of=/dev/bed0 bs=4096 seek=$1 conv=notrunc,fsync 2>/dev/null; }
	until_s() { i=0; until eval "$1"; do i=$((i + 1)); [ $i -lt 600 ] || return 1; sleep 0.1; done; }
	find_nic() { nic=; for n in /sys/class/net/*; do [ "$(cat $n/address)" != "$1" ] || nic=${n##*/}; done; [ -n "$nic" ]; }
	got() { what=$1; shift; "$@" >/tmp/got 2>&1 && echo "$what" || { echo "no $what"; tail -n 4 /tmp/got; false; }; }
	feature() { for f; do ethtool -k $nic | grep -q "^$f: on" && echo "$f" || echo "no $f"; done; }
	iperf() { what=$1; shift; got "$what" iperf3 "$@" && grep -E "receiver" /tmp/got | tail -n 1 | awk -v "what=$what" "{for (i = 2; i <= NF; i++) if (\$i ~ /bits/) print \"# \" what \": \" \$(i - 1), \$i}"; }
	tcp() { awk -v "name=$1" "/^Tcp:/ {if (!n) {for (i = 2; i <= NF; i++) if (\$i == name) n = i} else print \$n}" /proc/net/snmp; }
	clean() { dmesg | grep -iE "(netvsc|hv_vmbus|eth[0-9]).*(error|fail|unable|timeout|invalid)|hung task|BUG:|WARNING:" && echo bad; stuck; }
	waits() { grep -l "^State:.D" /proc/[0-9]*/status 2>/dev/null; }
	stuck() { waits >/tmp/waits && sleep 3 && for f in $(waits); do grep -qxF $f /tmp/waits && echo bad && cat ${f%/*}/comm ${f%/*}/stack; done; }
'
