# shellcheck shell=sh
# What the scripts of servers need (kafka/broker, registry/server, s3/server). A server lives in a
# directory `dir`: log, pid and files of its own. It listens on 127.0.0.1 only.

cache="${XDG_CACHE_HOME:-$HOME/.cache}/meterfold"
ready_seconds_max=90
stop_seconds_max=20

die() {
    printf '%s: %s\n' "$name" "$*" >&2
    exit 1
}

# The value of an option that needs one: needs --port "$@"
needs() { [ $# -ge 3 ] || die "$1 needs a value"; }

# A program in the background, its output in the log; waits for the line that says that it answers.
launch() {
    ready=$1
    shift
    command -v "$1" >/dev/null || die "$1 is missing: run .ci/setup kafka registry s3"
    : >"$dir/log"
    nohup "$@" >>"$dir/log" 2>&1 </dev/null &
    echo $! >"$dir/pid"
    rounds=0
    until grep -q "$ready" "$dir/log"; do
        rounds=$((rounds + 1))
        if ! is_running || [ $rounds -gt $((ready_seconds_max * 10)) ]; then
            tail -n 30 "$dir/log" >&2
            stop_server
            die 'did not start; its log ends as shown above'
        fi
        sleep 0.1
    done
}

# Whether the process of the pid file runs. One that ended and was not yet waited for does not.
is_running() {
    pid=$(cat "$dir/pid" 2>/dev/null) || return 1
    kill -0 "$pid" 2>/dev/null || return 1
    [ -d /proc/self ] || return 0
    if grep -q '^State:[[:space:]]*[ZX]' "/proc/$pid/status" 2>/dev/null; then return 1; fi
    # Another process may have got the number meanwhile: ours has the directory in its arguments. They
    # are empty for as long as its program is being loaded.
    arguments=$(tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline") || return 1
    case $arguments in
        '' | *"$dir"*) return 0 ;;
        *) return 1 ;;
    esac
}

# In good order; after some seconds by force.
stop_server() {
    is_running || return 0
    kill -TERM "$pid" 2>/dev/null
    kill -CONT "$pid" 2>/dev/null
    rounds=0
    while is_running && [ $rounds -lt $((stop_seconds_max * 10)) ]; do
        rounds=$((rounds + 1))
        sleep 0.1
    done
    kill_server
}

kill_server() {
    while is_running; do
        kill -KILL "$pid" 2>/dev/null
        sleep 0.05
    done
    rm -f "$dir/pid"
}

# The first of so many free ports in a row, below those that the system gives to outgoing connections.
free_ports() {
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        first=$((20000 + $(od -An -N2 -tu2 /dev/urandom) % 12000))
        port=$first
        while [ $port -lt $((first + $1)) ] && is_free $port; do port=$((port + 1)); done
        if [ $port -eq $((first + $1)) ]; then
            echo $first
            return
        fi
    done
    die 'no free port was found'
}

is_free() {
    [ -r /proc/net/tcp ] || return 0
    hex=$(printf '%04X' "$1")
    ! cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q "^ *[0-9]*: [0-9A-F]*:$hex "
}

# Makes `ca.pem` and `key.pem`. The certificate signs itself, so it is its own authority.
make_certificate() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj '/CN=meterfold test server' \
        -addext 'subjectAltName=IP:127.0.0.1,DNS:localhost' \
        -keyout "$dir/key.pem" -out "$dir/ca.pem" >"$dir/openssl.log" 2>&1 ||
        die "openssl made no certificate: $(cat "$dir/openssl.log")"
}
