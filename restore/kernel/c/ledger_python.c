/* Offers the rows of the ledger tables to Python: as pairs, as a table file, or only their number. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <stdbool.h>

#include "accumulator.h"
#include "bytes.h"
#include "ledger.h"
#include "module.h"
#include "sha3.h"

/* What Python asks for: the rows of some records for one table. The bytes but for `data` live as long as the
 * call. */
struct request {
    Py_buffer data;
    struct program program;
    struct ledger ledger;
    enum ledger_table table;
    size_t first, end;
};

static struct program program_of(PyObject *words) {
    return (struct program){(const uint8_t *)PyBytes_AsString(words),
                            (size_t)PyBytes_Size(words) / sizeof(uint32_t)};
}

static struct chunk chunk_of(const Py_buffer *data, PyObject *records, PyObject *events) {
    return (struct chunk){
        data->buf,
        (size_t)data->len,
        (const uint8_t *)PyBytes_AsString(records),
        (size_t)PyBytes_Size(records) / sizeof(struct record),
        (const uint8_t *)PyBytes_AsString(events),
        (size_t)PyBytes_Size(events) / sizeof(uint64_t),
    };
}

/* Takes (table, data, records, events, event hashes, node seed, program, first version, first, end), after
 * `path` if that is wanted. */
static bool take_request(struct request *request, PyObject *args, PyObject **path) {
    int table;
    PyObject *records, *events, *hashes, *seed, *program;
    unsigned long long first_version;
    Py_ssize_t first, end;
    int parsed = path ? PyArg_ParseTuple(args, "O&iy*SSSSSKnn:write_ledger_rows", PyUnicode_FSConverter, path,
                                         &table, &request->data, &records, &events, &hashes, &seed, &program,
                                         &first_version, &first, &end)
                      : PyArg_ParseTuple(args, "iy*SSSSSKnn", &table, &request->data, &records, &events,
                                         &hashes, &seed, &program, &first_version, &first, &end);
    if (!parsed) return false;
    request->table = (enum ledger_table)table;
    request->first = (size_t)first;
    request->end = (size_t)end;
    request->program = program_of(program);
    request->ledger = (struct ledger){
        .chunk = chunk_of(&request->data, records, events),
        .event_hashes = (const uint8_t *)PyBytes_AsString(hashes),
        .node_seed = (const uint8_t *)PyBytes_AsString(seed),
        .program = &request->program,
        .first_version = first_version,
    };
    const struct chunk *chunk = &request->ledger.chunk;
    if (0 <= table && table < LEDGER_TABLES && 0 <= first && first <= end
        && (size_t)end <= chunk->record_count && PyBytes_Size(seed) == SEED_BYTES
        && (size_t)PyBytes_Size(hashes) == chunk->event_count * HASH_BYTES) {
        return true;
    }
    PyErr_SetString(PyExc_ValueError, "rows that these columns do not have");
    if (path) Py_CLEAR(*path);
    PyBuffer_Release(&request->data);
    return false;
}

static int give_rows(const struct request *request, take_row *take, void *context) {
    return ledger_rows(&request->ledger, request->table, request->first, request->end, take, context);
}

/* ---- their number */

static int count_row(void *context, const struct ledger_row *row) {
    (void)row;
    ++*(size_t *)context;
    return 0;
}

/* count_ledger_rows(...) -> how many there are, keys that come twice counted twice; None where an event is
 * malformed */
static PyObject *count_ledger_rows(PyObject *module, PyObject *args) {
    (void)module;
    struct request request;
    if (!take_request(&request, args, NULL)) return NULL;
    size_t count = 0;
    int failed = 0;
    Py_BEGIN_ALLOW_THREADS
    for (size_t i = request.first; i < request.end && !failed; i++) {
        struct record record;
        failed = record_at(&request.ledger.chunk, i, &record) ? 0 : LEDGER_REFUSED;
        if (failed) break;
        if (request.table == EVENT_ACCUMULATOR) {
            count += (size_t)complete_nodes(record.event_count);
        } else {
            failed = record_rows(&request.ledger, request.table, 0, &record, count_row, &count);
        }
    }
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&request.data);
    if (failed) Py_RETURN_NONE;
    return PyLong_FromSize_t(count);
}

/* ---- as pairs */

static int append_pair(void *context, const struct ledger_row *row) {
    PyObject *pair = Py_BuildValue("y#y#", (const char *)row->key, (Py_ssize_t)row->key_size,
                                   (const char *)ledger_value(row), (Py_ssize_t)row->value_size);
    int failed = !pair || PyList_Append(context, pair) < 0;
    Py_XDECREF(pair);
    return failed ? ENOMEM : 0;
}

/* encode_ledger_rows(...) -> pairs of key and value; None where an event is malformed */
static PyObject *encode_ledger_rows(PyObject *module, PyObject *args) {
    (void)module;
    struct request request;
    if (!take_request(&request, args, NULL)) return NULL;
    PyObject *pairs = PyList_New(0);
    int failed = pairs ? give_rows(&request, append_pair, pairs) : ENOMEM;
    PyBuffer_Release(&request.data);
    if (!failed) return pairs;
    Py_XDECREF(pairs);
    if (failed == LEDGER_REFUSED) Py_RETURN_NONE;
    return PyErr_NoMemory();
}

/* ---- as a table file */

static int add_row(void *context, const struct ledger_row *row) {
    return table_add(context, row->key, row->key_size, ledger_value(row), row->value_size);
}

static int write_file(const struct request *request, const char *path, uint64_t *size) {
    struct table_writer *table;
    int failed = table_open(&table, path);
    if (failed) return failed;
    return table_end(table, give_rows(request, add_row, table), size);
}

/* write_ledger_rows(path, ...) -> size of the file; None where an event is malformed, and then there is none
 */
static PyObject *write_ledger_rows(PyObject *module, PyObject *args) {
    (void)module;
    struct request request;
    PyObject *path = NULL;
    if (!take_request(&request, args, &path)) return NULL;
    uint64_t size = 0;
    int failed;
    const char *name = PyBytes_AsString(path);
    Py_BEGIN_ALLOW_THREADS
    failed = write_file(&request, name, &size);
    Py_END_ALLOW_THREADS
    Py_DECREF(path);
    PyBuffer_Release(&request.data);
    if (failed == LEDGER_REFUSED) Py_RETURN_NONE;
    return failed ? raise_table_error(failed, PyTuple_GetItem(args, 0)) : PyLong_FromUnsignedLongLong(size);
}

/* ---- hashes under consecutive numbers */

static int write_hashes(const char *path, uint64_t first, const uint8_t *hashes, size_t count,
                        uint64_t *size) {
    struct table_writer *table;
    int failed = table_open(&table, path);
    if (failed) return failed;
    for (size_t i = 0; i < count && !failed; i++) {
        uint8_t key[8];
        write_u64_be(key, first + i);
        failed = table_add(table, key, sizeof key, hashes + i * HASH_BYTES, HASH_BYTES);
    }
    return table_end(table, failed, size);
}

/* write_numbered(path, first, hashes) -> size of a table file of them, with the numbers from `first` on as
 * keys */
static PyObject *write_numbered(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *path, *hashes;
    unsigned long long first;
    if (!PyArg_ParseTuple(args, "O&KS:write_numbered", PyUnicode_FSConverter, &path, &first, &hashes)) {
        return NULL;
    }
    const char *name = PyBytes_AsString(path);
    const uint8_t *bytes = (const uint8_t *)PyBytes_AsString(hashes);
    size_t count = (size_t)PyBytes_Size(hashes) / HASH_BYTES;
    uint64_t size = 0;
    int failed;
    Py_BEGIN_ALLOW_THREADS
    failed = write_hashes(name, first, bytes, count, &size);
    Py_END_ALLOW_THREADS
    Py_DECREF(path);
    return failed ? raise_table_error(failed, PyTuple_GetItem(args, 0)) : PyLong_FromUnsignedLongLong(size);
}

PyMethodDef ledger_methods[] = {
    {"count_ledger_rows", count_ledger_rows, METH_VARARGS, NULL},
    {"encode_ledger_rows", encode_ledger_rows, METH_VARARGS, NULL},
    {"write_ledger_rows", write_ledger_rows, METH_VARARGS, NULL},
    {"write_numbered", write_numbered, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};
