/* Stands between the extension and the allocator (`ld --wrap`): counts, and fails where a test says so. */
#include <stddef.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
void __real_free(void *memory);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_free(void *memory);

long asked;            /* allocations so far */
long failing = -1;     /* the number of the one that fails */
long live;             /* allocations that were not freed yet */

static int fails(void) { return asked++ == failing; }

static void *counted(void *memory) {
    live += memory != NULL;
    return memory;
}

void *__wrap_malloc(size_t size) { return fails() ? NULL : counted(__real_malloc(size)); }

void *__wrap_calloc(size_t count, size_t size) { return fails() ? NULL : counted(__real_calloc(count, size)); }

char *__wrap_strdup(const char *text) { return fails() ? NULL : counted(__real_strdup(text)); }

void *__wrap_realloc(void *old, size_t size) {
    if (fails()) return NULL;
    live -= old != NULL;
    return counted(__real_realloc(old, size));
}

void __wrap_free(void *memory) {
    live -= memory != NULL;
    __real_free(memory);
}
