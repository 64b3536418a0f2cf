# shellcheck shell=bash
# Where the bed gets Debian packages from. Uses lib.sh.

bed_suite=bookworm
bed_mirror=${BULKHEAD_BED_MIRROR:-http://deb.debian.org/debian}
bed_security=${BULKHEAD_BED_SECURITY_MIRROR:-http://deb.debian.org/debian-security}
bed_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The bed's own release, as lines of sources.list.
bed_sources()
{
	echo "deb [signed-by=$bed_keyring] $bed_mirror $bed_suite main"
	echo "deb [signed-by=$bed_keyring] $bed_mirror $bed_suite-updates main"
	echo "deb [signed-by=$bed_keyring] $bed_security $bed_suite-security main"
}

# bed_mmdebstrap ROOT LIST ARGUMENT...: a new system in ROOT with the packages of LIST.
bed_mmdebstrap()
{
	local root=$1 list=$2

	shift 2
	mmdebstrap --mode=root --include="$(bed_list "$list" | paste -sd,)" \
		--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Languages "none"' \
		--aptopt='APT::Sandbox::User "root"' --dpkgopt=force-unsafe-io \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' "$@" "$bed_suite" "$root" - < <(bed_sources)
}

# bed_apt_init FOLDER: let apt-get and apt-cache work on lists of their own in FOLDER, whatever this machine runs: the
# bed's release, and newer ones for whoever asks for them (PACKAGE/bookworm-backports, PACKAGE/trixie).
bed_apt_init()
{
	local dir=$1

	mkdir -p "$dir"/{state/lists/partial,cache/archives/partial}
	touch "$dir/status"
	{
		bed_sources
		echo "deb [signed-by=$bed_keyring] $bed_mirror $bed_suite-backports main"
		echo "deb [signed-by=$bed_keyring] $bed_mirror trixie main"
	} >"$dir/sources.list"
	printf 'Package: *\nPin: release n=trixie\nPin-Priority: 50\n' >"$dir/preferences"
	cat >"$dir/apt.conf" <<-END
	APT::Architecture "amd64";
	APT::Architectures { "amd64"; };
	APT::Sandbox::User "root";
	Acquire::Languages "none";
	Dir::State "$dir/state";
	Dir::State::status "$dir/status";
	Dir::Cache "$dir/cache";
	Dir::Etc::SourceList "$dir/sources.list";
	Dir::Etc::SourceParts "/dev/null";
	Dir::Etc::Preferences "$dir/preferences";
	Dir::Etc::PreferencesParts "/dev/null";
	END
	export APT_CONFIG=$dir/apt.conf
	apt-get -q update
}

# bed_download_kernel PACKAGE FOLDER: unpack a kernel package, or the one that a metapackage stands for, into FOLDER.
# To be called where it may leave files, after bed_apt_init.
bed_download_kernel()
{
	local package=$1 folder=$2 deb real

	apt-get -q download "$package" || return
	deb=$(find . -maxdepth 1 -name '*.deb')
	real=$(dpkg-deb -f "$deb" Depends | sed -n 's/.*\(linux-image-[^ ,]*\) (= \([^)]*\)).*/\1=\2/p')
	[ -z "$real" ] || { rm "$deb"; bed_download_kernel "$real" "$folder"; return; }
	dpkg-deb -x "$deb" "$folder"
	rm "$deb"
}

# bed_alone FILE ARGUMENT...: start this script again in a process namespace that ends with it, so that a build killed
# half way leaves nothing running. As root, since that is what making a system takes.
bed_alone()
{
	[ -z "${BED_ALONE:-}" ] || return 0
	[ "$(id -u)" = 0 ] || bed_die "building this part of the cache takes root"
	bed_need mmdebstrap apt-get dpkg-deb mke2fs cpio depmod modprobe busybox gcc setpriv unshare
	BED_ALONE=1 bed_child unshare --pid --fork --kill-child=KILL --mount-proc "$@"
}

# bed_log FILE: from here on, everything goes to FILE, whose end is shown if this script fails.
bed_log()
{
	bed_log=$1
	exec 3>&2 >"$bed_log" 2>&1
	trap '[ $? = 0 ] || tail -n 15 "$bed_log" >&3' EXIT
}

# bed_modules_of LIST ROOT VERSION: the files of the modules in LIST and of those they need, in load order, each once.
# Built-in and missing ones are left out.
bed_modules_of()
{
	local module

	bed_list "$1" | while read -r module; do
		modprobe -d "$2" -S "$3" --show-depends "$module" 2>/dev/null || true
	done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++'
}

# bed_cpio FOLDER: FOLDER as a cpio archive for the kernel.
bed_cpio() { (cd "$1" && find . | cpio --quiet -o -H newc -R 0:0); }
