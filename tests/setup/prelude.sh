# shellcheck shell=bash
# The first lines of every script in this folder: strict mode, the repository's root as the current folder, and
# functions that print. Sourced, never run.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Prints one line about the next step.
say() { printf '==> %s\n' "$*"; }

# Prints what failed and what a person can do about it, and ends the script.
die() {
    printf 'error: %s\n' "$1" >&2
    [ $# -eq 1 ] || printf '       %s\n' "${@:2}" >&2
    exit 1
}

# The meaning of a script's only argument: none installs what is missing, --check fails if anything is.
setup_mode() {
    case ${1-} in
    "") echo install ;;
    --check) echo check ;;
    *) die "usage: ${0##*/} [--check]" ;;
    esac
}

# Runs a command as root. Fails if it can't, or if sudo needs a password and nobody is at the terminal.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        sudo "$@"
    else
        return 1
    fi
}
