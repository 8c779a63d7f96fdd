/* Table files for Python: `write_table`. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <stdlib.h>

#include "module.h"
#include "table.h"

struct row {
    char *key;
    char *value;
    Py_ssize_t key_size;
    Py_ssize_t value_size;
};

/* Where the bytes of a (key, value) are: 0, or -1 with an error set. They live as long as the tuple. */
static int find_row(PyObject *pair, struct row *row) {
    if (!PyTuple_Check(pair) || PyTuple_Size(pair) != 2) {
        PyErr_SetString(PyExc_TypeError, "a row is a tuple of two bytes objects");
        return -1;
    }
    if (PyBytes_AsStringAndSize(PyTuple_GetItem(pair, 0), &row->key, &row->key_size) < 0) return -1;
    return PyBytes_AsStringAndSize(PyTuple_GetItem(pair, 1), &row->value, &row->value_size);
}

static int write_rows(const char *path, const struct row *rows, Py_ssize_t count, uint64_t *file_size) {
    struct table_writer *writer;
    int error = table_open(&writer, path);
    if (error) return error;
    for (Py_ssize_t i = 0; i < count && !error; i++) {
        error = table_add(writer, (const uint8_t *)rows[i].key, (size_t)rows[i].key_size,
                          (const uint8_t *)rows[i].value, (size_t)rows[i].value_size);
    }
    if (!error) return table_finish(writer, file_size);
    table_abort(writer);
    return error;
}

static PyObject *raise(int error, PyObject *path) {
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
    struct row *rows = malloc(((size_t)count + 1) * sizeof *rows);
    if (!rows) return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        if (find_row(PyTuple_GetItem(held, i), &rows[i]) < 0) {
            free(rows);
            return NULL;
        }
    }
    uint64_t file_size = 0;
    int error;
    const char *name = PyBytes_AsString(encoded);
    Py_BEGIN_ALLOW_THREADS
    error = write_rows(name, rows, count, &file_size);
    Py_END_ALLOW_THREADS
    free(rows);
    return error ? raise(error, path) : PyLong_FromUnsignedLongLong(file_size);
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

PyMethodDef table_methods[] = {
    {"write_table", write_table, METH_VARARGS,
     "Writes a new table file with these rows, keys ascending; returns its size."},
    {NULL, NULL, 0, NULL},
};
