/* Whether bytes are UTF-8, as strictly as Python decodes it: no surrogates, no overlong forms, nothing above
 * U+10FFFF. */
#ifndef RESTORE_UTF8_H
#define RESTORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool is_utf8(const uint8_t *text, size_t size);

#endif
