#!/bin/sh
# The first stage where the executable is not there yet: receives it, and turns into it.
#
# It comes over stdin, behind these definitions (see `script.rs`), into the shell that runs `first_stage.sh`,
# whose functions and variables it uses:
#
#   hash size crc  what the executable has to be: its SHA-256, its bytes, what `cksum` says
#   environment    a function: sets variables and changes the directory as the program has asked
#
# It says, as the first stage does:
#
#   note TEXT               something worth a log line
#   send gzip|plain         the parent answers with the number of bytes, and the bytes
#   fail place|receive TEXT it cannot go on
#
# The directories to try are its positional parameters.

: "${hash:?}" "${size:?}" "${crc:?}" "${tool:?}" "${token:?}" "${uid:?}" "${machine:?}" "${no_cache:?}" "${sum?}"

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

# Whether something belongs to this user.
ours() {
    # shellcheck disable=SC2046
    set -- $(LC_ALL=C ls -ldn "$1" 2>/dev/null)
    [ "${3-}" = "$uid" ]
}

expected=$hash
if [ "$tool" = cksum ]; then
    expected=$crc-$size
    say note "$machine has neither openssl, sha256sum nor shasum: the executable is checked by cksum and size"
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
