/* Table files for Python: `write_table`. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <stdlib.h>

#include "module.h"
#include "table.h"

struct pair {
    char *key;
    char *value;
    Py_ssize_t key_size;
    Py_ssize_t value_size;
};

/* Where the bytes of a (key, value) are: 0, or -1 with an error set. They live as long as the tuple. */
static int find_pair(PyObject *tuple, struct pair *pair) {
    if (!PyTuple_Check(tuple) || PyTuple_Size(tuple) != 2) {
        PyErr_SetString(PyExc_TypeError, "a row is a tuple of two bytes objects");
        return -1;
    }
    if (PyBytes_AsStringAndSize(PyTuple_GetItem(tuple, 0), &pair->key, &pair->key_size) < 0) return -1;
    return PyBytes_AsStringAndSize(PyTuple_GetItem(tuple, 1), &pair->value, &pair->value_size);
}

static int write_pairs(const char *path, const struct pair *pairs, Py_ssize_t count, uint64_t *file_size) {
    struct table_writer *writer;
    int error = table_open(&writer, path);
    if (error) return error;
    for (Py_ssize_t i = 0; i < count && !error; i++) {
        error = table_add(writer, (const uint8_t *)pairs[i].key, (size_t)pairs[i].key_size,
                          (const uint8_t *)pairs[i].value, (size_t)pairs[i].value_size);
    }
    return table_end(writer, error, file_size);
}

PyObject *raise_table_error(int error, PyObject *path) {
    if (error == ENOMEM) return PyErr_NoMemory();
    if (error == EINVAL) {
        PyErr_SetString(PyExc_ValueError, "no rows, or keys that do not ascend");
        return NULL;
    }
    errno = error;
    return PyErr_SetFromErrnoWithFilenameObject(PyExc_OSError, path);
}

/* `held` is ours alone: nobody can take a row out of it while the lock is let go of. */
static PyObject *write_held(PyObject *path, PyObject *encoded, PyObject *held) {
    Py_ssize_t count = PyTuple_Size(held);
    struct pair *pairs = malloc(((size_t)count + 1) * sizeof *pairs);
    if (!pairs) return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        if (find_pair(PyTuple_GetItem(held, i), &pairs[i]) < 0) {
            free(pairs);
            return NULL;
        }
    }
    uint64_t file_size = 0;
    int error;
    const char *name = PyBytes_AsString(encoded);
    Py_BEGIN_ALLOW_THREADS
    error = write_pairs(name, pairs, count, &file_size);
    Py_END_ALLOW_THREADS
    free(pairs);
    return error ? raise_table_error(error, path) : PyLong_FromUnsignedLongLong(file_size);
}

static PyObject *write_table(PyObject *module, PyObject *arguments) {
    (void)module;
    PyObject *path, *rows, *encoded = NULL;
    if (!PyArg_ParseTuple(arguments, "OO:write_table", &path, &rows)) return NULL;
    if (!PyUnicode_FSConverter(path, &encoded)) return NULL;
    PyObject *held = PySequence_Tuple(rows);
    PyObject *size = held ? write_held(path, encoded, held) : NULL;
    Py_XDECREF(held);
    Py_DECREF(encoded);
    return size;
}

static PyObject *row_bytes(PyObject *module, PyObject *rows) {
    (void)module;
    if (!PyList_Check(rows)) {
        PyErr_SetString(PyExc_TypeError, "rows are a list");
        return NULL;
    }
    size_t size = 0;
    for (Py_ssize_t i = 0; i < PyList_Size(rows); i++) {
        struct pair pair;
        if (find_pair(PyList_GetItem(rows, i), &pair) < 0) return NULL;
        size += (size_t)pair.key_size + (size_t)pair.value_size;
    }
    return PyLong_FromSize_t(size);
}

PyMethodDef table_methods[] = {
    {"row_bytes", row_bytes, METH_O, "Bytes of the keys and the values of these rows."},
    {"write_table", write_table, METH_VARARGS,
     "Writes a new table file with these rows, keys ascending; returns its size."},
    {NULL, NULL, 0, NULL},
};
