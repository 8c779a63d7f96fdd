/* A new file that is written once, from its start to its end, through one buffer. */
#ifndef RESTORE_SINK_H
#define RESTORE_SINK_H

#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

struct sink {
    int descriptor;
    char *path;
    uint64_t written; /* bytes of the file before those in `held` */
    struct buffer held;
};

/* Creates the file, which must not be there: 0 or errno. */
int sink_open(struct sink *sink, const char *path);

/* Finds room for `size` bytes at `*place`, which stays as it is until the next call: 0 or errno. */
int sink_reserve(struct sink *sink, size_t size, uint8_t **place);

/* Takes the first `size` bytes of what was reserved into the file. */
void sink_take(struct sink *sink, size_t size);

/* How long the file is by now. */
uint64_t sink_size(const struct sink *sink);

/* Writes what is held and closes: 0, or errno, and then the file is removed. The sink is empty afterwards. */
int sink_finish(struct sink *sink);

/* Closes and removes the file. */
void sink_abort(struct sink *sink);

#endif
