#!/bin/sh
# Installs what the tests need and runs all of them.
set -eu
cd "$(dirname "$0")/.."
sh tests/need.sh cc=gcc make=make curl=curl xxd=xxd script=bsdutils setpriv=util-linux \
    nginx=nginx-light apache2=apache2 rsyslogd=rsyslog logger=bsdutils
# The release profile is what users run, and shares its build with the demo.
exec cargo test --release --no-fail-fast "$@"
