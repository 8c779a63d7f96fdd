/* What each part of the extension offers to Python; module.c joins them. */
#ifndef RESTORE_MODULE_H
#define RESTORE_MODULE_H

#include <Python.h>

extern PyMethodDef accumulator_methods[];
extern PyMethodDef sha3_methods[];
extern PyMethodDef state_methods[];
extern PyMethodDef chunk_methods[];
extern PyMethodDef ledger_methods[];
extern PyMethodDef table_methods[];
extern PyMethodDef transaction_methods[];
extern PyMethodDef walk_methods[];

/* Raises what a function of table.h returned as `error`, about the file `path`; returns NULL. */
PyObject *raise_table_error(int error, PyObject *path);

#endif
