/* A new file behind a buffer. It is not synced: RocksDB itself syncs a file that it takes over, before that
 * counts. But its way to the disk begins at once, where the system has a call for that: to sync it then takes no
 * longer than the disk is behind, and rocksdict holds the interpreter's lock meanwhile. */
#define _GNU_SOURCE
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One write: long enough that calls do not count; longer writes are slower on some file systems. */
#define HELD_BYTES ((size_t)256 << 10)

static void release(struct sink *sink) {
    free(sink->path);
    free(sink->held.bytes);
    memset(sink, 0, sizeof *sink);
    sink->descriptor = -1;
}

int sink_open(struct sink *sink, const char *path) {
    memset(sink, 0, sizeof *sink);
    sink->descriptor = -1;
    sink->path = strdup(path);
    int error = sink->path ? buffer_reserve(&sink->held, HELD_BYTES) : ENOMEM;
    if (!error) {
        sink->descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (sink->descriptor < 0) error = errno;
    }
    if (error) release(sink);
    return error;
}

static int write_held(struct sink *sink) {
    size_t done = 0;
    while (done < sink->held.size) {
        ssize_t count = write(sink->descriptor, sink->held.bytes + done, sink->held.size - done);
        if (count < 0 && errno != EINTR) return errno;
        if (count > 0) done += (size_t)count;
    }
    sink->written += done;
    sink->held.size = 0;
    return 0;
}

int sink_reserve(struct sink *sink, size_t size, uint8_t **place) {
    int error = 0;
    if (sink->held.size + size > HELD_BYTES) error = write_held(sink);
    if (!error) error = buffer_reserve(&sink->held, size);
    if (!error) *place = sink->held.bytes + sink->held.size;
    return error;
}

void sink_take(struct sink *sink, size_t size) { sink->held.size += size; }

uint64_t sink_size(const struct sink *sink) { return sink->written + sink->held.size; }

int sink_finish(struct sink *sink) {
    int error = write_held(sink);
    if (error) {
        sink_abort(sink);
        return error;
    }
#ifdef SYNC_FILE_RANGE_WRITE
    /* A hint: what goes wrong is told by the sync. */
    (void)sync_file_range(sink->descriptor, 0, 0, SYNC_FILE_RANGE_WRITE);
#endif
    /* The descriptor is gone even when this fails, as where a file system tells late that it is full. */
    if (close(sink->descriptor) < 0 && errno != EINTR) {
        error = errno;
        unlink(sink->path);
    }
    release(sink);
    return error;
}

void sink_abort(struct sink *sink) {
    close(sink->descriptor);
    unlink(sink->path);
    release(sink);
}
