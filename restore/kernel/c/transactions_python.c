/* Offers the columns of a chunk of transactions to Python. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "module.h"
#include "records.h"
#include "sha3.h"
#include "transactions.h"

/* The columns of a chunk: the last two once the number of events is known. */
struct results {
    PyObject *records;
    PyObject *leaves;
    PyObject *events;
    PyObject *event_hashes;
};

static PyObject *bytes_of(size_t count, size_t size) {
    if (count > (size_t)PY_SSIZE_T_MAX / size) return PyErr_NoMemory();
    return PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * size));
}

/* Finds the parts, and makes room for everything about the events. */
static enum outcome find_columns(struct check *check, bool has_auxiliary, struct results *results) {
    uint64_t *events = NULL;
    enum outcome outcome;
    struct record *records = (struct record *)PyBytes_AsString(results->records);
    Py_BEGIN_ALLOW_THREADS
    outcome = find_records(check->program, has_auxiliary, check->chunk.data, check->chunk.size, records,
                           check->chunk.record_count, &events, &check->chunk.event_count);
    Py_END_ALLOW_THREADS
    if (outcome == FINE) {
        size_t count = check->chunk.event_count;
        results->events = bytes_of(count, sizeof *events);
        results->event_hashes = bytes_of(count, SHA3_BYTES);
        if (!results->events || !results->event_hashes) outcome = NO_MEMORY;
        if (outcome == FINE && count > 0) {
            memcpy(PyBytes_AsString(results->events), events, count * sizeof *events);
        }
    }
    free(events);
    return outcome;
}

/* Fills the columns of a chunk of which everything but the events is known. */
static enum outcome fill_columns(struct check *check, bool has_auxiliary, struct results *results) {
    results->records = bytes_of(check->chunk.record_count, sizeof(struct record));
    results->leaves = bytes_of(check->chunk.record_count, SHA3_BYTES);
    if (!results->records || !results->leaves) return NO_MEMORY;
    enum outcome outcome = find_columns(check, has_auxiliary, results);
    if (outcome != FINE) return outcome;
    check->chunk.records = (const uint8_t *)PyBytes_AsString(results->records);
    check->chunk.events = (const uint8_t *)PyBytes_AsString(results->events);
    check->leaves = (uint8_t *)PyBytes_AsString(results->leaves);
    check->event_hashes = (uint8_t *)PyBytes_AsString(results->event_hashes);
    Py_BEGIN_ALLOW_THREADS
    outcome = check_chunk(check);
    Py_END_ALLOW_THREADS
    return outcome;
}

/* transaction_columns(data, count, has_auxiliary, program, seeds) -> (records, events, event hashes, leaves),
 * or None where anything is malformed or not what an info commits to */
static PyObject *transaction_columns(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer data, words, seeds;
    Py_ssize_t count;
    int has_auxiliary;
    if (!PyArg_ParseTuple(args, "y*npy*y*", &data, &count, &has_auxiliary, &words, &seeds)) return NULL;
    struct program program = {words.buf, (size_t)words.len / sizeof(uint32_t)};
    struct check check = {.program = &program, .seeds = seeds.buf};
    check.chunk.data = data.buf;
    check.chunk.size = (size_t)data.len;
    check.chunk.record_count = count < 0 ? 0 : (size_t)count;
    struct results results = {NULL, NULL, NULL, NULL};
    enum outcome outcome = REFUSED;
    if (seeds.len != TRANSACTION_SEEDS * SEED_BYTES) {
        PyErr_SetString(PyExc_ValueError, "another number of seeds");
    } else if (count >= 0 && count <= data.len) { /* else there cannot be so many */
        outcome = fill_columns(&check, has_auxiliary, &results);
    }
    PyObject *columns = NULL;
    if (outcome == FINE) {
        columns = PyTuple_Pack(4, results.records, results.events, results.event_hashes, results.leaves);
    } else if (outcome == NO_MEMORY) {
        PyErr_NoMemory();
    } else if (!PyErr_Occurred()) {
        columns = Py_NewRef(Py_None);
    }
    Py_XDECREF(results.records);
    Py_XDECREF(results.events);
    Py_XDECREF(results.event_hashes);
    Py_XDECREF(results.leaves);
    PyBuffer_Release(&data);
    PyBuffer_Release(&words);
    PyBuffer_Release(&seeds);
    return columns;
}

PyMethodDef transaction_methods[] = {
    {"transaction_columns", transaction_columns, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};
