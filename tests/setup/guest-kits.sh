#!/usr/bin/env bash
# The compilers for guests in C, C++ and Zig (the PyPI package ziglang) and Python (componentize-py), in
# a virtual environment, and for JavaScript and TypeScript (npm). All under target/guest-kits, with
# pinned versions: a second run is instant.
#
#   tests/setup/guest-kits.sh            installs what is missing
#   tests/setup/guest-kits.sh --check    installs nothing; fails if something is missing
source "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"

readonly home=target/guest-kits
readonly python_packages=(ziglang==0.17.0 componentize-py==0.25.1)
readonly node_packages=(@bytecodealliance/componentize-js@0.23.0 typescript@5.9.3)

main() {
    mkdir -p "$home"
    if command -v flock >/dev/null; then
        exec 9>"$home/lock"
        flock 9
    fi
    once python "${python_packages[*]}" install_python
    once node "${node_packages[*]}" install_node
    say "guest kits: zig, componentize-py and componentize-js are there"
}

# Runs an installation unless it was done with exactly these versions.
once() {
    local name=$1 versions=$2 stamp
    stamp=$home/$name.versions
    [ "$(cat "$stamp" 2>/dev/null)" != "$versions" ] || return 0
    [ "$mode" = install ] || die "these are missing in $home: $versions" "install them: make setup"
    say "guest kits: installing $versions"
    rm -rf "$stamp" "${home:?}/$name"
    "$3"
    echo "$versions" >"$stamp"
}

install_python() {
    /usr/bin/python3 -m venv "$home/python" 2>/dev/null ||
        { rm -rf "$home/python" && debian python3-venv && /usr/bin/python3 -m venv "$home/python"; } ||
        die "no Python environment can be made: install Debian's python3-venv"
    "$home/python/bin/pip" install -q --disable-pip-version-check "${python_packages[@]}" ||
        die "pip can't install ${python_packages[*]}: is the package index reachable (pip config list)?"
}

# Debian 12's Node.js is too old for componentize-js; the npm package `node` brings a newer one.
install_node() {
    command -v npm >/dev/null || debian npm || die "npm is missing: install Debian's npm"
    mkdir -p "$home/node"
    echo '{ "private": true }' >"$home/node/package.json"
    local extra=()
    [ "$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)" -ge 20 ] || extra=(node@20)
    (cd "$home/node" && npm install --no-audit --no-fund --loglevel=error \
        "${node_packages[@]}" "${extra[@]}") ||
        die "npm can't install ${node_packages[*]}: is the registry reachable (npm config get registry)?"
}

debian() {
    command -v apt-get >/dev/null || return 1
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 update || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 \
        install -y --no-install-recommends "$@"
}

mode=$(setup_mode "$@")
main
