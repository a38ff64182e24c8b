/*
 * error.c: codes, causes and the sticky error.
 */
#include "runtime/base/error.h"

#include "runtime/base/bytes.h"

#include <stdio.h>
#include <string.h>

static const char *const code_names[] = {
#define NAME(name, number) [number] = #name,
    FARCALL_CODES(NAME)
#undef NAME
};

static const char *const cause_names[] = {
#define NAME(name, text) [FARCALL_CAUSE_##name] = #name,
    FARCALL_CAUSES(NAME)
#undef NAME
};

static const char *const cause_texts[] = {
#define TEXT(name, text) [FARCALL_CAUSE_##name] = text,
    FARCALL_CAUSES(TEXT)
#undef TEXT
};

const char *
farcall_code_name(farcall_code code)
{
	if (code == FARCALL_PENDING)
		return "PENDING";
	if (code == FARCALL_END)
		return "END";
	return (size_t)code < FC_COUNT(code_names) ? code_names[code] : "UNKNOWN";
}

const char *
farcall_cause_name(farcall_cause cause)
{
	return (size_t)cause < FC_COUNT(cause_names) ? cause_names[cause] : "NONE";
}

const char *
fc_cause_text(farcall_cause cause)
{
	return (size_t)cause < FC_COUNT(cause_texts) ? cause_texts[cause] : "";
}

/* A text that was cut must not end in half a UTF-8 character. */
static void
trim_cut(char *text, size_t size)
{
	size_t start = size;

	while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
		start--;
	if (start > 0 && (unsigned char)text[start - 1] >= 0xc0)
		text[start - 1] = 0;
}

farcall_code
fc_vfail(
    fc_error *error, farcall_code code, farcall_cause cause, const char *format, va_list arguments)
{
	int size;

	if (error == NULL || error->code != FARCALL_OK)
		return code;
	error->code = code;
	error->cause = cause;
	size = vsnprintf(error->text, sizeof error->text, format, arguments);
	if (size < 0)
		error->text[0] = 0;
	else if ((size_t)size >= sizeof error->text)
		trim_cut(error->text, sizeof error->text - 1);
	return code;
}

farcall_code
fc_fail(fc_error *error, farcall_code code, farcall_cause cause, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fc_vfail(error, code, cause, format, arguments);
	va_end(arguments);
	return code;
}

farcall_code
fc_fail_memory(fc_error *error, const char *what)
{
	return fc_fail(error, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY,
	    "%s: out of memory", what);
}
