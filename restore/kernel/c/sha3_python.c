/* SHA3-256 for Python: many messages in one call, hashed without the interpreter's lock. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "module.h"
#include "sha3.h"
#include "sha3_levels.h"

/* How many messages are hashed between two looks at Python's objects: enough that letting go of the lock
 * costs nothing, few enough that what is noted of them fits on the stack, in 64 KiB, and in the cache. */
#define BLOCK 1024

/* Points each input to its message, behind `head`; false with an exception where one is no bytes object. */
static bool point_to(struct sha3_input *inputs, PyObject *messages, Py_ssize_t first, Py_ssize_t count,
                     const Py_buffer *head) {
    for (Py_ssize_t i = 0; i < count; i++) {
        char *data;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(PyTuple_GetItem(messages, first + i), &data, &size) < 0) return false;
        inputs[i] = (struct sha3_input){head->buf, (size_t)head->len, (const uint8_t *)data, (size_t)size};
    }
    return true;
}

static bool put(PyObject *list, Py_ssize_t first, const uint8_t *digests, Py_ssize_t count) {
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *digest = PyBytes_FromStringAndSize((const char *)digests + i * SHA3_BYTES, SHA3_BYTES);
        if (!digest || PyList_SetItem(list, first + i, digest) < 0) return false;
    }
    return true;
}

/* Hashes `messages`, a tuple, which nobody can change while the lock is not held, to the places of `list`. */
static bool hash_to(PyObject *list, const Py_buffer *seed, PyObject *messages) {
    struct sha3_input inputs[BLOCK];
    uint8_t digests[BLOCK * SHA3_BYTES];
    const Py_buffer none = {0};
    bool usual = seed->len == SEED_BYTES;
    Py_ssize_t all = PyTuple_Size(messages);
    for (Py_ssize_t first = 0; first < all; first += BLOCK) {
        Py_ssize_t count = all - first < BLOCK ? all - first : BLOCK;
        if (!point_to(inputs, messages, first, count, usual ? &none : seed)) return false;
        Py_BEGIN_ALLOW_THREADS;
        sha3_256_batch(usual ? seed->buf : NULL, inputs, (size_t)count, digests, SHA3_BYTES);
        Py_END_ALLOW_THREADS;
        if (!put(list, first, digests, count)) return false;
    }
    return true;
}

static PyObject *sha3_256_many(PyObject *module, PyObject *arguments) {
    (void)module;
    Py_buffer seed;
    PyObject *given;
    if (!PyArg_ParseTuple(arguments, "y*O", &seed, &given)) return NULL;
    PyObject *messages = PySequence_Tuple(given);
    PyObject *list = messages ? PyList_New(PyTuple_Size(messages)) : NULL;
    if (list && !hash_to(list, &seed, messages)) Py_CLEAR(list);
    Py_XDECREF(messages);
    PyBuffer_Release(&seed);
    return list;
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
    if (!sha3_choose(name)) {
        return PyErr_Format(PyExc_ValueError, "this CPU has no level of that name: %s", name);
    }
    Py_RETURN_NONE;
}

PyMethodDef sha3_methods[] = {
    {"sha3_256_many", sha3_256_many, METH_VARARGS, "SHA3-256 of seed || message for each message."},
    {"sha3_levels", sha3_levels, METH_NOARGS, "Names of the levels that this CPU can run, best first."},
    {"sha3_use", sha3_use, METH_VARARGS, "Hashes on this level from now on, in all threads."},
    {NULL, NULL, 0, NULL},
};
