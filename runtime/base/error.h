/*
 * error.h: a failure with its code, cause and text, that sticks: the first one wins. No memory is
 * allocated for it, so running out of memory can be reported too.
 */
#ifndef FC_BASE_ERROR_H
#define FC_BASE_ERROR_H

#include <farcall/code.h>

#include <stdarg.h>

#define FC_ERROR_TEXT 256

typedef struct fc_error {
	farcall_code code; /* FARCALL_OK: none; the rest is then not read */
	farcall_cause cause;
	char text[FC_ERROR_TEXT]; /* cut to fit, at a character's border */
} fc_error;

static inline void
fc_error_clear(fc_error *error)
{
	error->code = FARCALL_OK;
	error->cause = FARCALL_CAUSE_NONE;
	error->text[0] = 0;
}

/* Sets `error`, unless it is set already or NULL. Answers `code`. */
farcall_code fc_fail(fc_error *error, farcall_code code, farcall_cause cause, const char *format,
    ...) FARCALL_PRINTF(4, 5);
farcall_code fc_vfail(
    fc_error *error, farcall_code code, farcall_cause cause, const char *format, va_list arguments);

/* RESOURCE_EXHAUSTED, OUT_OF_MEMORY, "what: out of memory". */
farcall_code fc_fail_memory(fc_error *error, const char *what);

/* "connection refused" and so on, for messages. */
const char *fc_cause_text(farcall_cause cause);

#endif
