#!/bin/sh
# The first stage: runs on the target before anything of ours is there, and turns into the executable if
# that is there already.
#
# It is an argument of the command, made one line (see `script.rs`), so that it waits for nobody. Any login
# shell has to pass it on as it is: no single quote, no exclamation mark, no two backslashes. Comments and
# indentation are not sent. Only POSIX and what it is tested with: dash, bash, busybox. Before it stand:
#
#   mark           what the parent knows our lines by
#   token          a random word, for names of files that nobody else has
#   known          the executables that the parent has: MACHINE:SHA256 MACHINE:SHA256...
#   given          a directory to try before all others, or nothing
#   no_cache       1 if nothing may stay behind
#   context        the name of the new context
#   alone          1 if there is nothing else to be told before the executable runs
#
# It says one line at a time, each with the mark in front:
#
#   (nothing)                             it runs
#   note TEXT                             something worth a log line
#   ready                                 the executable is there; the parent answers with `environment`
#   need SYSTEM MACHINE LIBC TOOL         it is not; the parent answers with `receive.sh`, and has to stop
#                                         here if nothing of it runs on such a machine
#   run                                   the next byte is the executable's own
#
# Nothing is read beyond what has been asked for: `read` takes single bytes from a pipe, and the parent
# sends no more than it was asked for.

set -fu
: "${mark:?}" "${token:?}" "${known?}" "${given?}" "${no_cache:?}" "${context:?}" "${alone:?}"
printf "%s\n" "$mark"

say() { printf "%s %s\n" "$mark" "$*"; }

# Prints what the parent sends. What stands before that is passed over: a password that was given, and that
# nobody took, must not be run.
listen() {
    while IFS= read -r line; do
        case $line in "$token-begin") break ;; esac
    done
    while IFS= read -r line; do
        case $line in "$token-end") break ;; esac
        printf "%s\n" "$line"
    done
}

# What the program has asked for; the parent may send another one.
environment() { :; }

# Becomes the executable: its path, and the number of the descriptor that the path goes by, if it does.
launch() {
    if [ "$alone" = 0 ]; then
        say ready
        eval "$(listen)"
    fi
    environment
    say run
    exec "$1" --mitogen-service-child "$context" stdio ${2+"$2"}
}

# Puts what a tool says of a file into `sum`, and which one into `tool`: the first that works. The fastest
# one by far, on machines whose processor helps, is openssl.
digest() {
    for tool in openssl sha256sum shasum; do
        # Each prints the sum first.
        # shellcheck disable=SC2046
        case $tool in
        openssl) set -- "$1" $(openssl dgst -sha256 -r <"$1") ;;
        sha256sum) set -- "$1" $(sha256sum <"$1") ;;
        shasum) set -- "$1" $(shasum -a 256 <"$1") ;;
        esac 2>/dev/null
        sum=${2-}
        if [ "${#sum}" = 64 ]; then return; fi
        set -- "$1"
    done
    tool="cksum"
    # shellcheck disable=SC2046
    set -- $(cksum <"$1")
    sum=${1-}-${2-}
}

# Whether a directory is one, and belongs to this user, who alone may look into it.
private() {
    # shellcheck disable=SC2046
    set -- $(LC_ALL=C ls -ldn "$1" 2>/dev/null)
    case ${1-} in
    drwx------*) [ "${3-}" = "$uid" ] ;;
    *) false ;;
    esac
}

# Launches a file of the cache if it is what it has to be: the file, what `digest` has to say of it.
launch_if_right() {
    if [ -f "$1" ] && [ -x "$1" ] && private "${1%/*}"; then
        if [ -L "$1" ]; then return; fi
        digest "$1"
        if [ "$sum" = "$2" ]; then launch "$1"; fi
        # The cheaper sum could be that of another file, so the parent is asked which one it means.
        if [ "$tool" = cksum ] && [ "${#2}" = 64 ]; then return; fi
        say note "the copy in $1 is not what it should be, and is replaced"
    fi
}

uid=$(id -u)
# shellcheck disable=SC2046
set -- $(uname -sm)
system=${1-} machine=${2-}

set -- "/var/tmp/mitogen-service-$uid" "/dev/shm/mitogen-service-$uid" "/tmp/mitogen-service-$uid"
if [ -n "${XDG_CACHE_HOME:-${HOME:-}}" ]; then
    set -- "${XDG_CACHE_HOME:-$HOME/.cache}/mitogen-service" "$@"
fi
if [ -n "$given" ]; then
    set -- "$given/mitogen-service-$uid" "$@"
fi

if [ "$no_cache" = 0 ] && [ "$system" = Linux ]; then
    for one in $known; do
        if [ "${one%%:*}" = "$machine" ]; then
            for dir; do
                launch_if_right "$dir/${one#*:}" "${one#*:}"
            done
        fi
    done
fi

# ---- which one is needed? ----

libc=$(getconf GNU_LIBC_VERSION 2>/dev/null)
case $libc in
"glibc "*) libc=glibc-${libc#glibc } ;;
*)
    set +f
    libc=unknown
    for loader in /lib/ld-musl-* /lib*/ld-linux*; do
        case $loader in
        *\**) ;;
        *musl*) libc=musl ;;
        *) if [ "$libc" = unknown ]; then libc=glibc; fi ;;
        esac
    done
    set -f
    ;;
esac
digest /dev/null
say need "$system" "$machine" "$libc" "$tool"
# No answer: there is none, and the parent has told its user so.
eval "$(listen)"
