#!/bin/sh
# The first stage: runs on the target before anything of ours is there, and turns into the executable.
#
# It comes over stdin, behind these definitions (see `script.rs`):
#
#   mark           what the parent knows our lines by
#   token          a random word, for names of files that nobody else has
#   known          the executables that the parent has: MACHINE:SHA256 MACHINE:SHA256...
#   given          a directory to try before all others, or nothing
#   no_cache       1 if nothing may stay behind
#   context        the name of the new context
#   environment    a function: sets variables and changes the directory as the program has asked
#
# It says one line at a time, each with the mark in front:
#
#   note TEXT                             something worth a log line
#   need SYSTEM MACHINE LIBC TOOL         the parent answers SHA256 SIZE CKSUM, and has to stop here
#                                         if nothing of it runs on such a machine
#   send gzip|plain                       the parent answers with the number of bytes, and the bytes
#   fail place|receive TEXT               it cannot go on
#   run                                   the next byte is the executable's own
#
# Nothing is read beyond what has been asked for: `read` takes single bytes from a pipe, and the
# parent sends no more than it was asked for. Only POSIX and what it is tested with: dash, bash,
# busybox. Comments and indentation are not sent.

set -fu
: "${mark:?}" "${token:?}" "${known?}" "${given?}" "${no_cache:?}" "${context:?}"

say() { printf '%s %s\n' "$mark" "$*"; }

# What must not stay behind: a file, and a directory.
new=
passing=
clean_up() {
    if [ -n "$new" ]; then rm -f "$new"; fi
    if [ -n "$passing" ]; then rm -rf "$passing"; fi
}

fail() {
    # Before the parent knows, and ends this.
    clean_up
    say fail "$@"
    exit 1
}

# Becomes the executable: its path, and the number of the descriptor that the path goes by, if it does.
launch() {
    environment
    say run
    exec "$1" --mitogen-service-child "$context" stdio ${2+"$2"}
}

# ---- what can be trusted ----

if command -v sha256sum >/dev/null 2>&1; then
    tool=sha256sum
elif command -v shasum >/dev/null 2>&1; then
    tool=shasum
elif command -v openssl >/dev/null 2>&1; then
    tool=openssl
else
    tool='cksum'
fi

# Puts what the tool says of a file into `sum`.
digest() {
    # Each prints the sum first.
    # shellcheck disable=SC2046
    case $tool in
    sha256sum) set -- $(sha256sum <"$1") ;;
    shasum) set -- $(shasum -a 256 <"$1") ;;
    openssl) set -- $(openssl dgst -sha256 -r <"$1") ;;
    cksum)
        set -- $(cksum <"$1")
        set -- "${1-}-${2-}"
        ;;
    esac
    sum=${1-}
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

# Whether something belongs to this user.
ours() {
    # shellcheck disable=SC2046
    set -- $(LC_ALL=C ls -ldn "$1" 2>/dev/null)
    [ "${3-}" = "$uid" ]
}

# Launches a file of the cache if it is what it has to be: the file, what `digest` has to say of it.
launch_if_right() {
    if [ ! -f "$1" ] || [ -L "$1" ] || [ ! -x "$1" ] || ! private "${1%/*}"; then return; fi
    digest "$1"
    if [ "$sum" = "$2" ]; then launch "$1"; fi
    say note "the copy in $1 is not what it should be, and is replaced"
}

# ---- is it here already? ----

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

# The cheaper sum could be that of another file, so the parent is asked which one it means.
if [ "$no_cache" = 0 ] && [ "$system" = Linux ] && [ "$tool" != cksum ]; then
    for one in $known; do
        if [ "${one%%:*}" != "$machine" ]; then continue; fi
        for dir; do
            launch_if_right "$dir/${one#*:}" "${one#*:}"
        done
    done
fi

# ---- which one is needed? ----

libc=$(getconf GNU_LIBC_VERSION 2>/dev/null)
if [ "${libc#glibc }" != "$libc" ]; then
    libc=glibc-${libc#glibc }
else
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
fi
say need "$system" "$machine" "$libc" "$tool"
# No answer: there is none, and the parent has told its user so.
read -r hash size crc || exit 1
expected=$hash
if [ "$tool" = cksum ]; then
    expected=$crc-$size
    say note "$machine has neither sha256sum, shasum nor openssl: the executable is checked by cksum and size"
    if [ "$no_cache" = 0 ]; then
        for dir; do
            launch_if_right "$dir/$hash" "$expected"
        done
    fi
fi

# ---- where can it be? ----

old_umask=$(umask)
umask 077
why=
trap clean_up EXIT
trap 'exit 1' HUP INT TERM PIPE

refuse() {
    why="$why$1: $2; "
    false
}

# Whether a file in a directory can be made and executed, and there is room.
usable() {
    if ! private "$1"; then refuse "$1" "cannot be made, or is not a directory of this user alone (mode 700)" || return; fi
    new=$1/.new.$$.$token
    if ! printf '#!/bin/sh\nexit 0\n' 2>/dev/null >"$new" || ! chmod 700 "$new"; then
        refuse "$1" "cannot be written: it is read-only or full" || return
    fi 2>/dev/null
    if ! "$new" 2>/dev/null; then refuse "$1" "nothing there may be executed (noexec)" || return; fi
    # shellcheck disable=SC2046
    set -- "$1" $(LC_ALL=C df -Pk "$1" 2>/dev/null | tail -n 1)
    case ${5-} in
    '' | *[!0-9]*) ;;
    *) if [ "$5" -lt $((size / 1024 + 1)) ]; then
        refuse "$1" "$5 KiB are free, and $((size / 1024 + 1)) are needed" || return
    fi ;;
    esac
}

# Makes a directory, but never in the home of somebody else: sudo may have left HOME as it was.
make() {
    case $1 in
    "${HOME:-/nowhere}"/*) if ! ours "$HOME"; then return; fi ;;
    esac
    mkdir -p "$1" 2>/dev/null
}

found=
for dir; do
    if [ "$no_cache" = 1 ]; then
        # Beside the cache, and gone before the executable runs.
        dir=${dir%/*}/.mitogen-service.$$.$token
        make "${dir%/*}"
        if ! mkdir "$dir" 2>/dev/null; then
            refuse "$dir" "cannot be made"
            continue
        fi
        passing=$dir
    else
        make "$dir"
    fi
    if usable "$dir"; then
        found=$dir
        break
    fi
    clean_up
    new='' passing=''
done
if [ -z "$found" ]; then
    fail place "$why"
fi

# ---- let it come ----

# Takes so many bytes into the new file where `head` does not count them. What `dd` reads at once may be less
# than a block and is never more, so it is asked again for what is missing: byte by byte would take minutes.
take_blocks() {
    missing=$1
    : >"$new"
    while [ "$missing" -gt 0 ]; do
        if [ "$missing" -lt 65536 ]; then set -- "$missing" 1; else set -- 65536 $((missing / 65536)); fi
        if ! said=$(LC_ALL=C dd bs="$1" count="$2" 2>&1 >>"$new"); then
            printf '%s\n' "$said" >&2
            return 1
        fi
        # shellcheck disable=SC2046
        set -- $(LC_ALL=C ls -ln "$new")
        left=$((bytes - $5))
        # The end has come too early.
        if [ "$left" -ge "$missing" ]; then return 1; fi
        missing=$left
    done
}

if ! head -c 0 </dev/null >/dev/null 2>&1; then
    say send plain
    read -r bytes || exit 1
    take_blocks "$bytes"
elif command -v gzip >/dev/null 2>&1; then
    say send gzip
    read -r bytes || exit 1
    head -c "$bytes" | LC_ALL=C gzip -dc >"$new"
else
    say send plain
    read -r bytes || exit 1
    head -c "$bytes" >"$new"
fi || fail receive "the executable did not come through whole"
digest "$new"
if [ "$sum" != "$expected" ]; then
    fail receive "what has arrived is not what was sent ($tool says $sum, not $expected)"
fi
say note "received $bytes bytes into $found, checked by $tool"
chmod 500 "$new"

umask "$old_umask"
if [ "$no_cache" = 1 ]; then
    exec 9<"$new"
    clean_up
    trap - EXIT HUP INT TERM PIPE
    launch /proc/self/fd/9 9
fi
file=$found/$hash
# Whatever else is in its place would not be replaced, but moved into.
if [ -L "$file" ] || [ -d "$file" ]; then rm -rf "$file"; fi
mv -f "$new" "$file" || fail receive "cannot be renamed"
trap - EXIT HUP INT TERM PIPE
# What nobody has asked for in a month, and what bootstraps have left that were killed.
find "$found" -type f \( -mtime +30 -o -name '.new.*' -mtime +0 \) -exec rm -f {} + 2>/dev/null
launch "$file"
