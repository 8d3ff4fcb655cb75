#!/usr/bin/env bash
# Installs what `make bench` needs beyond the tests' needs: nbdkit's header, for the plugin in C to compare with.
source "$(dirname "${BASH_SOURCE[0]}")/prelude.sh"

[ -e /usr/include/nbdkit-plugin.h ] && exit 0
say "peers: installing nbdkit-plugin-dev"
as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends \
    nbdkit-plugin-dev || die "install nbdkit's development package (Debian: nbdkit-plugin-dev)"
