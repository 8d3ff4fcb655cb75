#!/bin/sh
# Tests what clients get from {{name}}, with libnbd's tools. `make test` serves it with size=1000 and runs this.
set -eu
uri=$1

# expect NAME ACTUAL EXPECTED
expect() {
    [ "$2" = "$3" ] || { echo "test.sh: $1 is '$2', not '$3'" >&2 && exit 1; }
    echo "test.sh: $1 is right"
}

# bytes OFFSET COUNT: prints the bytes in decimal, with one blank between them.
bytes() { nbdcopy "$uri" - | tail -c +"$(($1 + 1))" | head -c "$2" | od -An -v -w4096 -tu1 | xargs; }

# YOUR TEST GOES HERE: replace these lines with what your disk holds.
expect 'its size' "$(nbdinfo --size "$uri")" 1000
expect 'its start' "$(bytes 0 4)" '0 1 2 3'
expect 'a byte in its middle' "$(bytes 500 1)" "$((500 % 251))"
