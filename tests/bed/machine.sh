# shellcheck shell=bash
# The bed's virtual machine: its one command line, how its snapshot is saved and restored. Uses lib.sh.
#
# An image folder holds kernel, initrd, disk.img, agent, and the snapshot: ram (the guest's memory as a sparse file) and
# state (the devices). Saving writes the memory in place, since it is a shared mapping (x-ignore-shared leaves it out of
# the stream); each restored machine maps the same file privately and puts its disk writes in a temporary overlay.
#
# -erms: page faults cost a third without it; QEMU from 10 on has -fsrm, too, and does not boot Linux 6.1 with only one of them. tsc=reliable: KVM in the bed has no stable TSC otherwise.
# no_timer_check: on a loaded machine the kernel finds at times that its timer does not work, and panics.
# The share (9p) must be there at save time, but not mounted: QEMU refuses to save then.

bed_memory=3G

# Choose the QEMU: BULKHEAD_BED_QEMU, the installed one if it is new enough (see build-qemu), or our own copy.
bed_find_qemu()
{
	local version

	if [ -z "${BULKHEAD_BED_QEMU:-}" ]; then
		version=$({ qemu-system-x86_64 --version 2>/dev/null || true; } | sed -n 's/.*version \([0-9.]*\).*/\1/p')
		BULKHEAD_BED_QEMU=qemu-system-x86_64
		if ! printf '10.2\n%s\n' "${version:-0}" | sort -VC; then
			bed_cached "$(bed_key qemu "$bed_dir"/{build-qemu,debian.sh} </dev/null)" "$bed_dir/build-qemu"
			BULKHEAD_BED_QEMU=$bed_cached_dir/qemu-system-x86_64
		fi
	fi
	export BULKHEAD_BED_QEMU
}

# bed_qemu IMAGE INSTANCE SHARE ARGUMENT...: become the machine. SHARE=on writes to IMAGE, off leaves it alone.
bed_qemu()
{
	local image=$1 instance=$2 share=$3 snapshot=on

	shift 3
	[ "$share" = off ] || snapshot=off
	mkdir -p "$instance/share"
	# a session of its own: a Ctrl-C is for who started it, who then ends it in order
	TMPDIR=$instance bed_child setsid "$BULKHEAD_BED_QEMU" -name bed -nodefaults -no-user-config -display none \
		-accel tcg,thread=multi -smp 2 -m "$bed_memory" -cpu max,+svm,-la57,-erms,-fsrm -M q35,memory-backend=m0 \
		-object "memory-backend-file,id=m0,size=$bed_memory,mem-path=$image/ram,share=$share" \
		-kernel "$image/kernel" -initrd "$image/initrd" \
		-append "console=ttyS0 quiet mitigations=off tsc=reliable no_timer_check panic=-1" -no-reboot \
		-drive "if=none,id=root,format=raw,file=$image/disk.img,snapshot=$snapshot,cache=unsafe" \
		-device virtio-blk-pci,drive=root \
		-fsdev "local,id=share,path=$instance/share,security_model=none,multidevs=remap" \
		-device virtio-9p-pci,fsdev=share,mount_tag=share \
		-device virtio-serial-pci -chardev "socket,id=agent,path=$instance/agent,server=on,wait=off" \
		-device virtserialport,chardev=agent,name=org.bulkhead.bed \
		-device virtio-rng-pci -serial "file:$instance/console" -qmp stdio "$@" \
		<"$instance/monitor" >"$instance/qemu.log" 2>&1
}

# bed_qmp COMMAND [ARGUMENTS]: tell the machine's monitor. It answers in qemu.log, as it likes.
bed_qmp() { echo "{\"execute\": \"$1\", \"arguments\": {${2:-}}}" >&"$bed_monitor"; }

# bed_start IMAGE INSTANCE SHARE ARGUMENT...: start it in the background; sets bed_pid and bed_monitor (a descriptor).
bed_start()
{
	mkfifo "$2/monitor"
	exec {bed_monitor}<>"$2/monitor"
	(bed_qemu "$@") &
	bed_pid=$!
	until [ -S "$2/agent" ]; do
		kill -0 "$bed_pid" 2>/dev/null || { tail -n 5 "$2/qemu.log" >&2; bed_die "QEMU does not start"; }
		sleep 0.01
	done
	bed_qmp qmp_capabilities
	bed_qmp migrate-set-capabilities '"capabilities": [
		{"capability": "x-ignore-shared", "state": true}, {"capability": "events", "state": true}]'
}

# bed_save IMAGE INSTANCE: save the running machine into IMAGE; it ends.
bed_save()
{
	bed_qmp migrate "\"uri\": \"exec:cat >$1/state\""
	until grep -qE '"status": "(completed|failed)"' "$2/qemu.log"; do
		kill -0 "$bed_pid" || return
		sleep 0.1
	done
	bed_qmp quit
	wait "$bed_pid"
	! grep -q '"status": "failed"' "$2/qemu.log"
}

# bed_restore IMAGE INSTANCE: start a private copy of the saved machine. Whoever calls it next waits for it.
bed_restore()
{
	bed_start "$1" "$2" off -incoming defer
	bed_qmp migrate-incoming "\"uri\": \"exec:cat $1/state\""
}

# bed_call INSTANCE WAIT TIMEOUT COMMAND...: run a command in the machine: wait for it to come up, then for the command.
bed_call() { (bed_call_become "$@"); }

# bed_call_become ...: the same, as this (sub)shell: what is killed or told something then is who waits, not a shell around it.
bed_call_become()
{
	local instance=$1 wait=$2 timeout=$3

	shift 3
	bed_child "${bed_agent:?}" call "$instance/agent" "$wait" "$timeout" -- "$@"
}
