/* Offers accumulators to Python. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdlib.h>

#include "accumulator.h"
#include "module.h"
#include "sha3.h"

#define MAX_BITS 61 /* of a number of leaves, so that no number of nodes overflows */

/* accumulate(seed, count, roots, leaves) -> the nodes that `leaves` complete, in the order in which they
 * complete */
static PyObject *accumulate(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer seed, roots, leaves;
    Py_ssize_t count;
    if (!PyArg_ParseTuple(args, "y*ny*y*", &seed, &count, &roots, &leaves)) return NULL;
    struct growth growth = {seed.buf, (uint64_t)count, roots.buf, leaves.buf,
                            (size_t)leaves.len / SHA3_BYTES};
    PyObject *completed = NULL;
    uint64_t before = count < 0 ? 0 : complete_nodes(growth.count);
    if (seed.len != SEED_BYTES || leaves.len % SHA3_BYTES || count < 0 || (uint64_t)count >> MAX_BITS
        || (uint64_t)roots.len != (2 * growth.count - before) * SHA3_BYTES) {
        PyErr_SetString(PyExc_ValueError, "the tree, its roots and the leaves do not fit each other");
    } else {
        uint64_t added = complete_nodes(growth.count + growth.added) - before;
        completed = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(added * SHA3_BYTES));
    }
    if (completed) {
        uint8_t *nodes = (uint8_t *)PyBytes_AsString(completed);
        bool fine;
        Py_BEGIN_ALLOW_THREADS
        fine = grow(&growth, nodes);
        Py_END_ALLOW_THREADS
        if (!fine) {
            Py_CLEAR(completed);
            PyErr_NoMemory();
        }
    }
    PyBuffer_Release(&seed);
    PyBuffer_Release(&roots);
    PyBuffer_Release(&leaves);
    return completed;
}

/* parents(seed, nodes) -> the parents of an even number of neighbours */
static PyObject *parents(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer seed, nodes;
    if (!PyArg_ParseTuple(args, "y*y*", &seed, &nodes)) return NULL;
    PyObject *made = NULL;
    size_t count = (size_t)nodes.len / (2 * SHA3_BYTES);
    struct sha3_input *inputs =
        count > SIZE_MAX / sizeof *inputs ? NULL : malloc(count > 0 ? count * sizeof *inputs : 1);
    if (seed.len != SEED_BYTES || nodes.len % (2 * SHA3_BYTES)) {
        PyErr_SetString(PyExc_ValueError, "nodes are no pairs of hashes");
    } else if (!inputs) {
        PyErr_NoMemory();
    } else {
        made = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * SHA3_BYTES));
    }
    if (made) {
        uint8_t *out = (uint8_t *)PyBytes_AsString(made);
        const uint8_t *pairs = nodes.buf;
        Py_BEGIN_ALLOW_THREADS
        for (size_t i = 0; i < count; i++) {
            inputs[i] = (struct sha3_input){pairs + 2 * i * SHA3_BYTES, 2 * SHA3_BYTES, NULL, 0};
        }
        sha3_256_batch(seed.buf, inputs, count, out, SHA3_BYTES);
        Py_END_ALLOW_THREADS
    }
    free(inputs);
    PyBuffer_Release(&seed);
    PyBuffer_Release(&nodes);
    return made;
}

PyMethodDef accumulator_methods[] = {
    {"accumulate", accumulate, METH_VARARGS, NULL},
    {"parents", parents, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};
