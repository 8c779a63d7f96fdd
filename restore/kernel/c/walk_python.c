/* Offers the walk to Python: for the tests alone, which compare it with the closures. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "module.h"
#include "walk.h"

/* walk(program, address, data, offset, end) -> offset after the value, or None where it is refused. */
static PyObject *walk(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer words, data;
    unsigned int address;
    Py_ssize_t offset, end;
    if (!PyArg_ParseTuple(args, "y*Iy*nn", &words, &address, &data, &offset, &end)) return NULL;
    bool fits = 0 <= offset && offset <= end && end <= data.len;
    struct program program = {words.buf, (size_t)words.len / sizeof(uint32_t)};
    struct reader reader = {data.buf, (size_t)offset, (size_t)end};
    bool fine = false;
    Py_BEGIN_ALLOW_THREADS
    if (fits) fine = walk_value(&program, address, &reader);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&words);
    PyBuffer_Release(&data);
    if (!fine) Py_RETURN_NONE;
    return PyLong_FromSize_t(reader.offset);
}

PyMethodDef walk_methods[] = {{"walk", walk, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
