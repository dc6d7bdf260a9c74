#!/bin/sh
# Installs what the tests need and runs all of them.
set -eu
cd "$(dirname "$0")/.."
sh tests/need.sh cc=gcc make=make curl=curl jq=jq lua5.1=lua5.1 xxd=xxd script=bsdutils setpriv=util-linux \
    nginx=nginx-light apache2=apache2 rsyslogd=rsyslog logger=bsdutils \
    logrotate=logrotate svlogd=runit multilog=daemontools zstd=zstd bzip2=bzip2 \
    openssl=openssl haproxy=haproxy tinyproxy=tinyproxy
# The driver by which rsyslog speaks TLS.
ls /usr/lib/*/rsyslog/lmnsd_ossl.so >/dev/null 2>&1 || sh tests/need.sh no-driver=rsyslog-openssl
# LPeg in C is a library, and what ours is compared with.
lua5.1 -e 'require "lpeg"' 2>/dev/null || sh tests/need.sh no-lpeg=lua-lpeg
# What statistics are compared with.
sh tests/need_python.sh numpy=numpy scipy=scipy
# What CEF records are compared with; it is no module of Python 3 without help.
target/python/bin/python -c 'import importlib.util as u, sys; sys.exit(u.find_spec("cef") is None)' ||
    sh tests/need_python.sh no_module_of_that_name=cef==0.5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# syslog-ng and rsyslog exclude each other as installed packages: it is unpacked, with its libraries installed.
if [ ! -x target/syslog-ng/usr/sbin/syslog-ng ]; then
    libraries=
    for library in $(apt-cache depends syslog-ng-core | awk '$1 == "Depends:" && $2 ~ /^lib/ { print $2 }'); do
        dpkg -s "$library" >/dev/null 2>&1 || libraries="$libraries no-library=$library"
    done
    # shellcheck disable=SC2086
    sh tests/need.sh $libraries
    here=$PWD
    (cd "$work" && apt-get download -qq syslog-ng-core 2>/dev/null && dpkg -x syslog-ng-core_*.deb "$here/target/syslog-ng")
fi
# Senders of GELF.
sh tests/need_python.sh pygelf=pygelf graypy=graypy
# A sender to the HTTP Event Collector.
sh tests/need_python.sh splunk_hec=splunk-hec-ftf requests=requests
# A server that takes what a delivery stream is sent.
sh tests/need_python.sh moto='moto[server]'
# The programs are what users run, built as the demo builds them. The tests themselves are not worth its link time: 25 of
# them took nine minutes of it on two cores.
cargo build --release
export HEKA_PROGRAMS="$PWD/target/release"
# The benchmarks run once each, to see that they still do.
[ $# -gt 0 ] || cargo test --bench hot_paths > "$work/benches" 2>&1 || { cat "$work/benches"; exit 1; }
{ cargo test --no-fail-fast "$@" 2>&1 || touch "$work/failed"; } | tee "$work/log"
awk '/^test result:/ { passed += $4; failed += $6 } END { printf "%d passed, %d failed\n", passed, failed }' "$work/log"
[ ! -e "$work/failed" ]
