/*
 * flags.h: command lines as gRPC's own interop programs read them: --name=value or --name value,
 * one dash or two; a bool alone is true.
 */
#ifndef INTEROP_FLAGS_H
#define INTEROP_FLAGS_H

#include <stdbool.h>
#include <stddef.h>

typedef enum interop_kind {
	INTEROP_TEXT,   /* const char *: points into argv */
	INTEROP_NUMBER, /* long: whole, not negative */
	INTEROP_BOOL    /* bool: true, false, yes, no, t, f, y, n, 1, 0, of either case */
} interop_kind;

typedef struct interop_flag {
	const char *name;
	interop_kind kind;
	void *value; /* holds the default, too */
	const char *help;
} interop_flag;

typedef enum interop_parsed {
	INTEROP_PARSED,
	INTEROP_HELPED, /* --help: they were printed */
	INTEROP_WRONG   /* what is wrong stands on stderr */
} interop_parsed;

/* `flags` ends with one that has no name. */
interop_parsed interop_flags_parse(
    const char *program, const interop_flag *flags, int argc, char **argv);

#endif
