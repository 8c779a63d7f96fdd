/* SHA3-256 for Python: many messages in one call, hashed without the interpreter's lock. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "module.h"
#include "sha3.h"
#include "sha3_levels.h"

/* Points each input to the bytes of its message; false with an exception where one is no bytes object. */
static bool point_to(struct sha3_input *inputs, PyObject *messages, Py_ssize_t count) {
    for (Py_ssize_t i = 0; i < count; i++) {
        char *data;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(PyTuple_GetItem(messages, i), &data, &size) < 0) return false;
        inputs[i].body = (const uint8_t *)data;
        inputs[i].body_size = (size_t)size;
    }
    return true;
}

static PyObject *as_list(const uint8_t *digests, Py_ssize_t count) {
    PyObject *list = PyList_New(count);
    for (Py_ssize_t i = 0; list && i < count; i++) {
        PyObject *digest = PyBytes_FromStringAndSize((const char *)digests + i * SHA3_BYTES, SHA3_BYTES);
        if (!digest || PyList_SetItem(list, i, digest) < 0) Py_CLEAR(list);
    }
    return list;
}

/* `messages` is a tuple, which nobody can change while the lock is not held. */
static PyObject *hash_all(const uint8_t *seed, size_t seed_size, PyObject *messages) {
    Py_ssize_t count = PyTuple_Size(messages);
    struct sha3_input *inputs = PyMem_Calloc((size_t)count, sizeof *inputs);
    uint8_t *digests = PyMem_Calloc((size_t)count, SHA3_BYTES);
    PyObject *list = NULL;
    if (!inputs || !digests) {
        PyErr_NoMemory();
    } else if (point_to(inputs, messages, count)) {
        Py_BEGIN_ALLOW_THREADS;
        for (Py_ssize_t i = 0; seed_size != SEED_BYTES && i < count; i++) {
            inputs[i].head = seed;
            inputs[i].head_size = seed_size;
        }
        sha3_256_batch(seed_size == SEED_BYTES ? seed : NULL, inputs, (size_t)count, digests, SHA3_BYTES);
        Py_END_ALLOW_THREADS;
        list = as_list(digests, count);
    }
    PyMem_Free(inputs);
    PyMem_Free(digests);
    return list;
}

static PyObject *sha3_256_many(PyObject *module, PyObject *arguments) {
    (void)module;
    Py_buffer seed;
    PyObject *given;
    if (!PyArg_ParseTuple(arguments, "y*O", &seed, &given)) return NULL;
    PyObject *messages = PySequence_Tuple(given);
    PyObject *digests = messages ? hash_all(seed.buf, (size_t)seed.len, messages) : NULL;
    Py_XDECREF(messages);
    PyBuffer_Release(&seed);
    return digests;
}

static PyObject *sha3_levels(PyObject *module, PyObject *nothing) {
    (void)module, (void)nothing;
    const char *names[SHA3_MAX_LEVELS];
    size_t count = sha3_available(names);
    PyObject *tuple = PyTuple_New((Py_ssize_t)count);
    for (size_t i = 0; tuple && i < count; i++) {
        PyObject *name = PyUnicode_FromString(names[i]);
        if (!name || PyTuple_SetItem(tuple, (Py_ssize_t)i, name) < 0) Py_CLEAR(tuple);
    }
    return tuple;
}

static PyObject *sha3_use(PyObject *module, PyObject *arguments) {
    (void)module;
    const char *name;
    if (!PyArg_ParseTuple(arguments, "s", &name)) return NULL;
    if (!sha3_choose(name)) return PyErr_Format(PyExc_ValueError, "this CPU has no level of that name: %s", name);
    Py_RETURN_NONE;
}

PyMethodDef sha3_methods[] = {
    {"sha3_256_many", sha3_256_many, METH_VARARGS, "SHA3-256 of seed || message for each message."},
    {"sha3_levels", sha3_levels, METH_NOARGS, "Names of the levels that this CPU can run, best first."},
    {"sha3_use", sha3_use, METH_VARARGS, "Hashes on this level from now on, in all threads."},
    {NULL, NULL, 0, NULL},
};
