# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Completion of vmctl(1). The verbs and the options come from vmctl itself, so they cannot drift apart.

_vmctl_verbs() { vmctl --help 2>/dev/null | sed -n 's/^ \{12\}vmctl \([a-z]*\).*/\1/p'; }
_vmctl_options() { vmctl "$1" --help 2>/dev/null | grep -o -- '--[a-z][a-z-]*' | sort -u; }
_vmctl_names() { vmctl list 2>/dev/null | awk 'NR > 1 {print $1}'; }

_vmctl() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} verb='' word
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case $word in
		-*) ;;
		*) verb=$word; break ;;
		esac
	done
	COMPREPLY=()
	if [ -z "$verb" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_vmctl_verbs) --json --system --help --version" -- "$current")
		return
	fi
	case $previous in
	--kernel | --initrd | --disk) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
	--append | --memory | --cpus | --name) return ;;
	esac
	case $current in
	-*) mapfile -t COMPREPLY < <(compgen -W "$(_vmctl_options "$verb")" -- "$current"); return ;;
	esac
	case $verb in
	define) mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
	undefine | show | start | stop | console) mapfile -t COMPREPLY < <(compgen -W "$(_vmctl_names)" -- "$current") ;;
	esac
}

complete -o filenames -F _vmctl vmctl
