/* From the bytes of a state chunk to its columns: where keys and values stand, and their hashes.
 *
 * Source: spec/backup-format.md 2 (framing), spec/ledger-hashing.md 4 (keys, values, usage).
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "columns.h"
#include "module.h"

#define LENGTH_BYTES 4
#define ADDRESS_BYTES 32
#define MAX_RECORD_BYTES (128u << 20)

enum { ACCESS_PATH, TABLE_ITEM, RAW };
enum { VALUE_V0, VALUE_WITH_METADATA };
enum { METADATA_V0, METADATA_V1 };

static const uint8_t RAW_STORAGE_TAG = 0xff; /* a raw key is hashed with this tag, not its BCS index */

/* Items hashed together: enough to keep all lanes busy, few enough to be still in the cache. */
#define SLICE 512

/* The end of the key at `at`, NULL if it is malformed; what is hashed of it, and how much it counts. */
static const uint8_t *skip_key(const uint8_t *at, const uint8_t *end, struct sha3_input *hashed,
                               uint64_t *counted) {
    const uint8_t *start = at;
    uint64_t length;
    if (at == end) return NULL;
    uint8_t kind = *at++;
    size_t head = kind == RAW ? 0 : ADDRESS_BYTES;
    if (kind > RAW || (size_t)(end - at) < head) return NULL;
    const uint8_t *content = read_length(at + head, end, &length);
    if (!content || (uint64_t)(end - content) < length) return NULL;
    *counted = head + length;
    *hashed = kind == ACCESS_PATH ? (struct sha3_input){NULL, 0, start, (size_t)(content - start) + length}
              : kind == TABLE_ITEM ? (struct sha3_input){start, 1 + head, content, length}
                                   : (struct sha3_input){&RAW_STORAGE_TAG, 1, content, length};
    return content + length;
}

/* Whether the value that begins at `at` ends at `end`; how much it counts. */
static int is_value(const uint8_t *at, const uint8_t *end, uint64_t *counted) {
    static const uint8_t no_deposit[8];
    if (at == end || *at > VALUE_WITH_METADATA) return 0;
    uint8_t kind = *at;
    const uint8_t *data = read_length(at + 1, end, counted);
    if (!data || (uint64_t)(end - data) < *counted) return 0;
    at = data + *counted;
    if (kind == VALUE_V0) return at == end;
    if (at == end) return 0;
    switch (*at++) {
    case METADATA_V0: return end - at == 16;
    case METADATA_V1: return end - at == 24 && memcmp(at + 8, no_deposit, 8) != 0;
    default: return 0;
    }
}

/* Hashes one slice of items, and finds their spans on the way. Returns its end, NULL if it is malformed. */
static const uint8_t *hash_slice(const uint8_t *data, const uint8_t *at, const uint8_t *end, size_t count,
                                 const uint8_t *key_seed, const uint8_t *value_seed, struct span *spans,
                                 struct leaf *leaves, uint64_t *usage) {
    struct sha3_input keys[SLICE], values[SLICE];
    for (size_t i = 0; i < count; i++) {
        uint64_t key_bytes, value_bytes;
        if (end - at < LENGTH_BYTES) return NULL;
        uint32_t length = read_u32_be(at);
        at += LENGTH_BYTES;
        if (length > MAX_RECORD_BYTES || (size_t)(end - at) < length) return NULL;
        fetch_ahead(at, length);
        const uint8_t *stop = at + length;
        const uint8_t *value = skip_key(at, stop, &keys[i], &key_bytes);
        if (!value || !is_value(value, stop, &value_bytes)) return NULL;
        values[i] = (struct sha3_input){NULL, 0, value, (size_t)(stop - value)};
        spans[i] = (struct span){(uint64_t)(at - data), (uint64_t)(value - data), (uint64_t)(stop - data)};
        *usage += key_bytes + value_bytes;
        at = stop;
    }
    sha3_256_batch(key_seed, keys, count, leaves->key, sizeof *leaves);
    sha3_256_batch(value_seed, values, count, leaves->value, sizeof *leaves);
    return at;
}

static int hash_all(const uint8_t *data, size_t size, size_t count, const uint8_t *key_seed,
                    const uint8_t *value_seed, struct span *spans, struct leaf *leaves, uint64_t *usage) {
    const uint8_t *at = data, *end = data + size;
    for (size_t done = 0; done < count && at; done += SLICE) {
        size_t slice = count - done < SLICE ? count - done : SLICE;
        at = hash_slice(data, at, end, slice, key_seed, value_seed, spans + done, leaves + done, usage);
    }
    return at == end;
}

static PyObject *state_columns(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer data, key_seed, value_seed;
    Py_ssize_t count;
    if (!PyArg_ParseTuple(args, "y*ny*y*:state_columns", &data, &count, &key_seed, &value_seed)) return NULL;
    PyObject *spans = NULL, *leaves = NULL, *result = NULL;
    uint64_t usage = 0;
    if (count < 1 || count > data.len / LENGTH_BYTES || key_seed.len != SEED_BYTES ||
        value_seed.len != SEED_BYTES) {
        PyErr_SetString(PyExc_ValueError, "number of records or seeds that cannot be");
        goto end;
    }
    spans = PyBytes_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof(struct span));
    leaves = PyBytes_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof(struct leaf));
    if (!spans || !leaves) goto end;
    struct span *span = (struct span *)PyBytes_AsString(spans);
    struct leaf *leaf = (struct leaf *)PyBytes_AsString(leaves);
    int sound;
    Py_BEGIN_ALLOW_THREADS
    sound = hash_all(data.buf, (size_t)data.len, (size_t)count, key_seed.buf, value_seed.buf, span, leaf,
                     &usage);
    Py_END_ALLOW_THREADS
    result = sound ? Py_BuildValue("OOK", spans, leaves, (unsigned long long)usage) : Py_NewRef(Py_None);
end:
    Py_XDECREF(spans);
    Py_XDECREF(leaves);
    PyBuffer_Release(&data);
    PyBuffer_Release(&key_seed);
    PyBuffer_Release(&value_seed);
    return result;
}

/* How far whole records reach from `offset` on, and how many there are: to what is missing, or impossible. */
static PyObject *scan_records(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer data;
    Py_ssize_t offset, count = 0;
    if (!PyArg_ParseTuple(args, "y*n:scan_records", &data, &offset)) return NULL;
    if (offset < 0 || offset > data.len) {
        PyBuffer_Release(&data);
        PyErr_SetString(PyExc_ValueError, "offset outside the data");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    const uint8_t *at = (const uint8_t *)data.buf + offset, *end = (const uint8_t *)data.buf + data.len;
    while (end - at >= LENGTH_BYTES) {
        uint32_t length = read_u32_be(at);
        if (length > MAX_RECORD_BYTES || (size_t)(end - at) - LENGTH_BYTES < length) break;
        fetch_ahead(at, LENGTH_BYTES + length);
        at += LENGTH_BYTES + length;
        count++;
    }
    offset = at - (const uint8_t *)data.buf;
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&data);
    return Py_BuildValue("nn", offset, count);
}

PyMethodDef state_methods[] = {
    {"scan_records", scan_records, METH_VARARGS, NULL},
    {"state_columns", state_columns, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};
