# shellcheck shell=bash
# The current build as a tree to install in the bed. Uses lib.sh.

bed_build_dir=${BULKHEAD_BUILD:-$bed_top/build}

# Configure and build, if that was never done. Output goes to a log.
bed_first_build()
{
	bed_say "building $bed_build_dir (once)"
	[ -x "$bed_top/configure" ] || (cd "$bed_top" && autoreconf -fi) || return
	mkdir -p "$bed_build_dir" && cd "$bed_build_dir" &&
		"$bed_top/configure" --prefix=/usr --sysconfdir=/etc --localstatedir=/var && make -j"$(nproc)"
}

# bed_is_current STAMP: nothing that could change what is installed is newer than STAMP.
bed_is_current()
{
	[ -e "$1" ] || return
	[ -z "$(find "$bed_top" \( -path "$bed_top/.git" -o -path "$bed_top/tests" -o -path "$bed_top/build*" \) -prune \
		-o -newer "$1" -print -quit)" ] && [ -z "$(find "$bed_build_dir" -newer "$1" -print -quit)" ]
}

# bed_setup TREE: the commands that make a running system take notice of the files in TREE. Only what is needed: each
# costs 0.1 s in the bed. (systemd finds new units by itself; daemon-reload would take 0.8 s.)
bed_setup()
(
	shopt -s nullglob
	cd "$1" || exit
	users=(usr/lib/sysusers.d/*) files=(usr/lib/tmpfiles.d/*) libraries=(usr/lib/*.so.* usr/lib/*/*.so.*)
	changes=({etc,{usr/,}lib}/systemd/system/*.{d,wants,requires}/*) bus=({etc,usr/share}/dbus-1/{system.d,system-services}/*)
	[ ${#libraries[@]} = 0 ] || echo "ldconfig &&"
	[ ${#users[@]} = 0 ] || echo "systemd-sysusers ${users[*]/#//} &&"
	[ ${#files[@]} = 0 ] || echo "systemd-tmpfiles --create ${files[*]/#//} &&"
	[ ${#changes[@]} = 0 ] || echo "systemctl daemon-reload &&"
	[ ${#bus[@]} = 0 ] || echo "dbus-send --system --print-reply --type=method_call --dest=org.freedesktop.DBus" \
		"/ org.freedesktop.DBus.ReloadConfig >/dev/null &&"
	echo true
)

# Bring the cached install.tar of this build up to date: $1 is its folder.
bed_make_install()
{
	local dir=$1

	rm -rf "$dir/tree" "$dir/stamp" "$dir/new"
	mkdir "$dir/tree"
	if [ -e "$bed_top/configure.ac" ]; then
		[ -e "$bed_build_dir/Makefile" ] || (bed_first_build) || return
		touch "$dir/new"
		make -C "$bed_build_dir" install DESTDIR="$dir/tree" || return
		touch "$dir/new"
	fi
	tar -C "$dir/tree" --owner=0 --group=0 -cf "$dir/new.tar" . || return
	bed_setup "$dir/tree" >"$dir/new.setup" || return
	mv "$dir/new.tar" "$dir/install.tar"
	mv "$dir/new.setup" "$dir/setup"
	[ ! -e "$dir/new" ] || mv "$dir/new" "$dir/stamp"
	rm -r "$dir/tree"
}

# bed_install SHARE: put install.tar of the current build, and setup, what to do in the bed then, into SHARE.
bed_install()
{
	local dir lock

	dir=$bed_cache/install/$(echo "$bed_top $bed_build_dir" | sha256sum | cut -c1-16)
	mkdir -p "$dir"
	exec {lock}>"$dir/lock"
	flock "$lock"
	if ! bed_is_current "$dir/stamp"; then
		bed_make_install "$dir" >"$dir/log" 2>&1 || {
			tail -n 30 "$dir/log" >&2
			bed_die "could not install $bed_build_dir; see $dir/log"
		}
	fi
	ln "$dir/install.tar" "$dir/setup" "$1/"
	exec {lock}>&-
}
