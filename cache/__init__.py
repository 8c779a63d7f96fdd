"""Mirrors named files from any source under locks and leases; knows nothing of Aptos or of `restore`.

    mirror      the way in: brings a mirror up to date and leases what it holds
    source      where files come from, and the events of the work
    sync        lists, fetches what is missing, re-validates what is kept, retires the rest
    writer      makes packs of what is fetched
    prune       removes what is retired and leased by nobody; never waits
    entry       files and the packs that hold many of them: bytes, pure
    index       which files a mirror holds, in which packs: pure
    folder      the files of one mirror, and every operation on them
    lock        READ, SYNC and PRUNE, and why they cannot deadlock
    lease       what a reader holds, as long as its process lives
    presence    a file that is locked as long as its process lives: how holders make themselves known
    probe       whether a file system locks at all
    threads     file operations off the event loop
    atomic      files that are written whole or not at all
    survey      what a folder of mirrors holds, and whether it is sound

What lies in a folder of mirrors:

    DIR/v1/CACHEDIR.TAG              tells backup programs to leave the folder out
    DIR/v1/<sha256 of identity>/     the mirror of one source
        index                        which files it holds, in which packs; replaced atomically
        summary                      what a reader made of all files; counts while they are the same
        packs/<sha256>.pack          many files each, never changed; the name is the digest of its bytes
        removal.lock, sync.lock      see `lock`
        holders/<mode>-<random>      who holds a lock; locked itself while its process lives
        leases/<random>              who reads which packs; locked itself while its process lives
"""
