/* What Python asks about a state chunk: its tree, and its rows, as pairs or as table files.
 *
 * Columns come back as the `bytes` that `state_columns` and `tree_columns` made; whatever else is refused.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <string.h>

#include "columns.h"
#include "module.h"
#include "rows.h"
#include "table.h"
#include "tree.h"

/* The columns of one call, and which rows of them are meant: items, or nodes of one depth (0: items). */
struct request {
    Py_buffer data;
    struct columns columns;
    size_t items, nodes;
    size_t first, last;
    unsigned depth;
};

static PyObject *hanging_list(const struct tree *tree) {
    PyObject *list = PyList_New((Py_ssize_t)tree->hanging_count);
    for (size_t i = 0; list && i < tree->hanging_count; i++) {
        const struct node *node = &tree->nodes[tree->hanging[i].node];
        PyObject *entry =
            Py_BuildValue("IIy#IN", tree->hanging[i].depth, node->first_leaf, (const char *)node->hash,
                          (Py_ssize_t)SHA3_BYTES, node->leaves, PyBool_FromLong(!node->count));
        if (!entry || PyList_SetItem(list, (Py_ssize_t)i, entry) < 0) Py_CLEAR(list);
    }
    return list;
}

static PyObject *starts_tuple(const struct tree *tree) {
    PyObject *starts = PyTuple_New(MAX_NIBBLES + 1);
    for (Py_ssize_t depth = 0; starts && depth <= MAX_NIBBLES; depth++) {
        PyObject *start = PyLong_FromSize_t(tree->starts[depth]);
        if (!start || PyTuple_SetItem(starts, depth, start) < 0) Py_CLEAR(starts);
    }
    return starts;
}

/* Copied without the lock: there may be 100 MB of them. */
static PyObject *nodes_column(const struct tree *tree) {
    size_t size = tree->count * sizeof *tree->nodes;
    PyObject *column = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (!column) return NULL;
    char *place = PyBytes_AsString(column);
    Py_BEGIN_ALLOW_THREADS
    if (size) memcpy(place, tree->nodes, size);
    Py_END_ALLOW_THREADS
    return column;
}

/* Whether a column is whole; how many entries it has. */
static int count_of(PyObject *column, size_t entry_bytes, size_t *count) {
    size_t size = (size_t)PyBytes_Size(column);
    *count = size / entry_bytes;
    return size % entry_bytes == 0;
}

static PyObject *tree_columns(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *leaves;
    const char *leaf_seed, *internal_seed;
    Py_ssize_t leaf_seed_size, internal_seed_size;
    if (!PyArg_ParseTuple(args, "Sy#y#:tree_columns", &leaves, &leaf_seed, &leaf_seed_size, &internal_seed,
                          &internal_seed_size)) {
        return NULL;
    }
    size_t count;
    if (!count_of(leaves, sizeof(struct leaf), &count) || count < 2 || count > UINT32_MAX ||
        leaf_seed_size != SEED_BYTES || internal_seed_size != SEED_BYTES) {
        PyErr_SetString(PyExc_ValueError, "number of leaves or seeds that cannot be");
        return NULL;
    }
    struct tree tree = {0};
    enum tree_result built;
    const struct leaf *leaf = (const struct leaf *)PyBytes_AsString(leaves);
    Py_BEGIN_ALLOW_THREADS
    built = build_tree(&tree, leaf, count, (const uint8_t *)leaf_seed, (const uint8_t *)internal_seed);
    Py_END_ALLOW_THREADS
    PyObject *result = NULL;
    if (built == TREE_UNORDERED) {
        result = Py_NewRef(Py_None);
    } else if (built == TREE_NO_MEMORY) {
        PyErr_NoMemory();
    } else {
        result = Py_BuildValue("NNN", nodes_column(&tree), starts_tuple(&tree), hanging_list(&tree));
    }
    Py_BEGIN_ALLOW_THREADS
    free_tree(&tree);
    Py_END_ALLOW_THREADS
    return result;
}

static int is_sound_item(const struct request *request, size_t index) {
    const struct span *span = &request->columns.spans[index];
    return span->key <= span->value && span->value <= span->end && span->end <= (uint64_t)request->data.len;
}

static int is_sound_node(const struct request *request, size_t index) {
    const struct node *node = &request->columns.nodes[index];
    if (node->first_leaf >= request->items) return 0;
    if (!node->count) return is_sound_item(request, node->first_leaf);
    if (request->depth == MAX_NIBBLES) return 0;
    if (node->count > 16 || node->children > request->nodes) return 0;
    if (node->count > request->nodes - node->children) return 0;
    for (uint32_t i = 0; i < node->count; i++) {
        if (request->columns.nodes[node->children + i].first_leaf >= request->items) return 0;
    }
    return 1;
}

static int is_sound(const struct request *request) {
    size_t rows = request->depth ? request->nodes : request->items;
    if (request->first > request->last || request->last > rows || request->depth > MAX_NIBBLES) return 0;
    for (size_t i = request->first; i < request->last; i++) {
        if (!(request->depth ? is_sound_node(request, i) : is_sound_item(request, i))) return 0;
    }
    return 1;
}

/* Takes (data, spans, leaves, nodes, version, depth, first, last), after `path` if that is wanted. */
static int take_request(struct request *request, PyObject *args, PyObject **path) {
    PyObject *spans, *leaves, *nodes;
    unsigned long long version;
    Py_ssize_t first, last;
    int parsed =
        path ? PyArg_ParseTuple(args, "O&y*SSSKInn:write_rows", PyUnicode_FSConverter, path, &request->data,
                                &spans, &leaves, &nodes, &version, &request->depth, &first, &last)
             : PyArg_ParseTuple(args, "y*SSSKInn:encode_rows", &request->data, &spans, &leaves, &nodes,
                                &version, &request->depth, &first, &last);
    if (!parsed) return 0;
    request->columns = (struct columns){
        .data = request->data.buf,
        .spans = (const struct span *)PyBytes_AsString(spans),
        .leaves = (const struct leaf *)PyBytes_AsString(leaves),
        .nodes = (const struct node *)PyBytes_AsString(nodes),
        .version = version,
    };
    size_t leaf_count;
    int sound = count_of(spans, sizeof(struct span), &request->items) &&
                count_of(leaves, sizeof(struct leaf), &leaf_count) &&
                count_of(nodes, sizeof(struct node), &request->nodes) && request->items == leaf_count;
    request->first = (size_t)first;
    request->last = (size_t)last;
    Py_BEGIN_ALLOW_THREADS
    sound = sound && is_sound(request);
    Py_END_ALLOW_THREADS
    if (sound) return 1;
    PyErr_SetString(PyExc_ValueError, "rows that these columns do not have");
    if (path) Py_CLEAR(*path);
    PyBuffer_Release(&request->data);
    return 0;
}

static void encode_row(struct row *row, const struct request *request, size_t index) {
    if (request->depth) {
        node_row(row, &request->columns, index, request->depth);
    } else {
        value_row(row, &request->columns, index);
    }
}

static PyObject *pair_of(const struct row *row) {
    size_t size = 0;
    for (size_t i = 0; i < row->part_count; i++) size += row->parts[i].size;
    PyObject *value = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (!value) return NULL;
    char *at = PyBytes_AsString(value);
    for (size_t i = 0; i < row->part_count; i++) {
        memcpy(at, row->parts[i].bytes, row->parts[i].size);
        at += row->parts[i].size;
    }
    return Py_BuildValue("y#N", (const char *)row->key, (Py_ssize_t)row->key_size, value);
}

static PyObject *encode_rows(PyObject *module, PyObject *args) {
    (void)module;
    struct request request;
    if (!take_request(&request, args, NULL)) return NULL;
    PyObject *list = PyList_New((Py_ssize_t)(request.last - request.first));
    struct row row;
    for (size_t i = request.first; list && i < request.last; i++) {
        encode_row(&row, &request, i);
        PyObject *pair = pair_of(&row);
        if (!pair || PyList_SetItem(list, (Py_ssize_t)(i - request.first), pair) < 0) Py_CLEAR(list);
    }
    PyBuffer_Release(&request.data);
    return list;
}

/* Writes the table file; 0, or what the system says. */
static int write_table_file(const struct request *request, const char *path, uint64_t *size) {
    struct table_writer *table;
    struct row row;
    int failed = table_open(&table, path);
    if (failed) return failed;
    for (size_t i = request->first; i < request->last && !failed; i++) {
        encode_row(&row, request, i);
        failed = table_add_parts(table, row.key, row.key_size, row.parts, row.part_count);
    }
    return table_end(table, failed, size);
}

static PyObject *write_rows(PyObject *module, PyObject *args) {
    (void)module;
    struct request request;
    PyObject *path = NULL;
    if (!take_request(&request, args, &path)) return NULL;
    uint64_t size = 0;
    int failed;
    const char *name = PyBytes_AsString(path);
    Py_BEGIN_ALLOW_THREADS
    failed = write_table_file(&request, name, &size);
    Py_END_ALLOW_THREADS
    Py_DECREF(path);
    PyBuffer_Release(&request.data);
    return failed ? raise_table_error(failed, PyTuple_GetItem(args, 0)) : PyLong_FromUnsignedLongLong(size);
}

PyMethodDef chunk_methods[] = {
    {"tree_columns", tree_columns, METH_VARARGS, NULL},
    {"encode_rows", encode_rows, METH_VARARGS, NULL},
    {"write_rows", write_rows, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};
