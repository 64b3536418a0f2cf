# shellcheck shell=bash
# What the bed's tools share: messages, the cache, its keys and its locks.

bed_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bed_top=$(cd "$bed_dir/../.." && pwd)
bed_cache=${BULKHEAD_BED_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead/bed}
bed_keep_days=3
PATH=$PATH:/usr/sbin:/sbin

bed_say() { echo "bed: $*" >&2; }

# The status of every failure of the bed itself, as opposed to one of the command in it.
bed_die()
{
	bed_say "$*"
	exit 125
}

# What a script that ends at errors (set -e) says then: x=$(false | cat) and the like would end it without a word. Of a
# (sub)shell that goes on at errors, nothing.
bed_failed()
{
	[[ $- = *e* ]] || return 0
	bed_die "${BASH_SOURCE[1]##*/}, line $1: status $2 of: ${3%%$'\n'*}"
}
set -E
trap 'bed_failed "$LINENO" "$?" "$BASH_COMMAND"' ERR

# bed_list FILE: the words of a list, without its comments.
bed_list() { sed 's/#.*//' "$1" | xargs -rn1; }

# bed_need PROGRAM...: all of them are here, or say what to install.
bed_need()
{
	local program missing=

	for program; do
		type -P "$program" >/dev/null || missing+=" $program"
	done
	[ -z "$missing" ] || bed_die "missing:$missing; install the packages listed in scripts/packages/bed"
}

# bed_key NAME FILE...: a cache key: NAME, and a digest of standard input and of the files.
bed_key()
{
	local name=$1

	shift
	echo "$name-$({ cat; cat -- "$@"; } | sha256sum | cut -c1-16)"
}

# bed_child COMMAND...: go on as COMMAND, which ends when the parent of this (sub)shell does, however that ends.
bed_child() { exec setpriv --pdeathsig KILL -- "$@"; }

# bed_sweep FOLDER TEST...: remove those folders in FOLDER that nobody holds locked and find's TEST selects. Renamed
# first: nothing half removed keeps a name that counts. Other runs remove theirs meanwhile, of which find complains even
# with -ignore_readdir_race.
bed_sweep()
{
	local folder=$1 old

	shift
	{ find "$folder" -mindepth 1 -maxdepth 1 -type d "$@" -print 2>/dev/null || true; } | while read -r old; do
		# shellcheck disable=SC2016 # expanded by the inner shell
		flock -n -x "$old" sh -c 'mv -T "$1" "$2" && rm -rf --one-file-system "$2"' sh \
			"$old" "$bed_cache/tmp/old-${old##*/}" || true
	done
}

# bed_hold FOLDER: lock a folder of the cache against bed_sweep, for this process and all its children.
# Fails if the folder is not, or no longer, there.
bed_hold()
{
	local fd

	{ exec {fd}<"$1"; } 2>/dev/null || return
	flock -s "$fd"
	[ -d "$1" ]
}

# bed_build KEY BUILDER...: build $bed_cache/KEY: BUILDER gets a new folder as its last argument, which takes its place
# only when complete. One build at a time.
bed_build()
{
	local key=$1 lock tmp

	shift
	exec {lock}>"$bed_cache/lock"
	flock -n "$lock" || { bed_say "waiting for another build of the cache"; flock "$lock"; }
	if ! [ -d "$bed_cache/$key" ]; then
		bed_sweep "$bed_cache/tmp"
		bed_sweep "$bed_cache" -name '*-*' -mtime "+$bed_keep_days"
		tmp=$(mktemp -d "$bed_cache/tmp/XXXXXX")
		bed_say "building $key (once; about a minute)"
		(exec {lock}>&-; bed_child "$@" "$tmp") || bed_die "could not build $key; see $tmp/log"
		mv -T "$tmp" "$bed_cache/$key"
	fi
	exec {lock}>&-
}

# bed_cached KEY BUILDER...: make sure that $bed_cache/KEY exists and stays; sets bed_cached_dir.
bed_cached()
{
	bed_cached_dir=$bed_cache/$1
	mkdir -p "$bed_cache/tmp"
	until bed_hold "$bed_cached_dir"; do
		bed_build "$@"
	done
	touch "$bed_cached_dir"
}

# bed_instance: make a private folder for one run; sets bed_instance_dir.
bed_instance()
{
	mkdir -p "$bed_cache/run" "$bed_cache/tmp"
	bed_sweep "$bed_cache/run" -mmin +1
	bed_instance_dir=$(mktemp -d "$bed_cache/run/XXXXXX")
	bed_hold "$bed_instance_dir"
}
