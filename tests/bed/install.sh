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
	if [ -n "$(find "$dir/tree" -path '*/systemd/*' -o -path '*/dbus-1/*' -o -path '*/*.d/*' | head -n 1)" ]; then
		touch "$dir/installed-units"
	else
		rm -f "$dir/installed-units"
	fi
	mv "$dir/new.tar" "$dir/install.tar"
	[ ! -e "$dir/new" ] || mv "$dir/new" "$dir/stamp"
	rm -r "$dir/tree"
}

# bed_install SHARE: put install.tar of the current build (and installed-units, if there are any) into SHARE.
bed_install()
{
	local dir lock file

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
	for file in install.tar installed-units; do
		[ ! -e "$dir/$file" ] || ln "$dir/$file" "$1/$file"
	done
	exec {lock}>&-
}
