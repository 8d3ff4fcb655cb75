# shellcheck shell=bash
# What every script in this folder starts with: strict mode, the repository's root as the current
# folder, and a way to speak. Sourced, never run.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# One line about what happens now.
say() { printf '==> %s\n' "$*"; }

# What went wrong and what a person can do about it; then stop.
die() {
    printf 'error: %s\n' "$1" >&2
    [ $# -eq 1 ] || printf '       %s\n' "${@:2}" >&2
    exit 1
}

# What a script's only argument asks for: `install` what is missing or, with --check, fail if anything is.
setup_mode() {
    case ${1-} in
    "") echo install ;;
    --check) echo check ;;
    *) die "usage: ${0##*/} [--check]" ;;
    esac
}

# Runs a command as root. Fails, without asking anybody, where that can't be done.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        sudo "$@"
    else
        return 1
    fi
}
