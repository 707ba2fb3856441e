# packages: what the local stack and the tests need from Debian (12 or 13), and how it gets there. Sourced, not run.
#
#     packages_need WORDS...    words: run (these programs), build (to build and run the stack), test (to test it as well),
#                               compose (to test its containers), bench (to measure it), peers (what it is measured
#                               against, where that can be had)

PACKAGES_build="gcc g++ meson ninja-build pkg-config python3 libczmq-dev libzmq3-dev libprotobuf-c-dev
  protobuf-c-compiler protobuf-compiler libprotobuf-dev libpq-dev libssl-dev libsodium-dev libjansson-dev
  libxml2-dev libmicrohttpd-dev libarchive-dev postgresql tzdata"
PACKAGES_run="python3"
PACKAGES_test="libcmocka-dev python3-pytest python3-pytest-xdist python3-zmq python3-protobuf python3-psycopg2
  python3-nacl python3-cryptography strace prometheus"
PACKAGES_compose="docker.io docker-compose debootstrap iptables"
# Debian 13 has the command docker in a package of its own, which 12 does not know.
grep -qs '^VERSION_ID="12"' /etc/os-release || PACKAGES_compose="$PACKAGES_compose docker-cli"
PACKAGES_bench="valgrind"
PACKAGES_peers="redis-server redis-tools nats-server rabbitmq-server librabbitmq-dev"

packages_missing() {
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || printf '%s ' "$package"
    done
}

packages_need() {
    wanted=
    for word in "$@"; do
        eval "wanted=\"\$wanted \$PACKAGES_$word\""
    done
    missing=$(packages_missing $wanted)
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        echo "these packages are missing and only root can install them: $missing" >&2
        echo "run this as root once, or: sudo apt-get install $missing" >&2
        return 1
    fi
    echo "installing from Debian: $missing"
    export DEBIAN_FRONTEND=noninteractive
    # The lists of a fresh machine may be old or absent; of a machine in use they are usually good enough.
    apt-get install -y --no-install-recommends $missing >"${TMPDIR:-/tmp}/tildel-apt.log" 2>&1 && return 0
    apt-get update >>"${TMPDIR:-/tmp}/tildel-apt.log" 2>&1
    apt-get install -y --no-install-recommends $missing >>"${TMPDIR:-/tmp}/tildel-apt.log" 2>&1 && return 0
    echo "apt-get could not install them; its words are in ${TMPDIR:-/tmp}/tildel-apt.log" >&2
    return 1
}
