# Objects for the stand-ins: gs://bucket/name is the file $BUCKETS/bucket/name.
# Each file in $BUCKETS/.failures makes one call fail, and is used up.

set -o nounset -o errexit -o pipefail

path_of() {
    echo "$BUCKETS/${1#gs://}"
}

fail_if_told() {
    local told
    told=$(find "$BUCKETS/.failures" -type f 2> /dev/null | head -n 1 || :)
    if [ -n "$told" ]; then
        rm "$told"
        echo "$1" >&2
        exit 1
    fi
}

# An object is there when all of it has come, and replaces the one before.
upload() {
    local path part
    path=$(path_of "$1")
    part=$(mktemp "$BUCKETS/.part.XXXXXX")
    trap "rm -f '$part'" EXIT
    cat > "$part"
    mkdir -p "$(dirname "$path")"
    mv "$part" "$path"
}

# URLs of what is directly below; folders with a slash at their end.
list() {
    local path entry
    path=$(path_of "$1")
    test -d "$path" || return 1
    for entry in "$path"*; do
        if [ -d "$entry" ]; then echo "gs://${entry#"$BUCKETS"/}/"; else echo "gs://${entry#"$BUCKETS"/}"; fi
    done
}

move() {
    local target
    target=$(path_of "$2")
    mkdir -p "$(dirname "$target")"
    mv "$(path_of "$1")" "$target"
}
