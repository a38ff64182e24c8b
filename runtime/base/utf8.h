/*
 * utf8.h: is it text? Well-formed UTF-8 by Unicode's table 3-7: no overlong forms, no surrogates,
 * nothing past U+10FFFF. A NUL is refused too, because C ends a string there.
 */
#ifndef FC_BASE_UTF8_H
#define FC_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the first byte stands that does not belong; `size` if all do. A character that is cut off
 * or wrong in its middle is reported at its first byte. */
size_t fc_utf8_check(const uint8_t *text, size_t size);

/* The same, asked quickly: true if all is ASCII without NUL; false says nothing. */
bool fc_utf8_plain(const uint8_t *text, size_t size);

#endif
