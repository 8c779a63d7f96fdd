/* The extension module: all that is done once for each item of a backup, without the interpreter's lock. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "module.h"

static int add_methods(PyObject *module) {
    PyMethodDef *parts[] = {
        sha3_methods,  accumulator_methods, walk_methods,        state_methods,
        chunk_methods, table_methods,       transaction_methods, ledger_methods,
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (PyModule_AddFunctions(module, parts[i]) < 0) return -1;
    }
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, add_methods}, {0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "restore.kernel._native",
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&definition); }
