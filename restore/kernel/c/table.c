#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "module.h"

PyMethodDef table_methods[] = {{NULL, NULL, 0, NULL}};
