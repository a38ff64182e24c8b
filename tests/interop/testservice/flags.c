/*
 * flags.c: reads a command line into a table of flags. A name that is not in the table, a value
 * that is none, and words that belong to no flag are refused by name: a flag that is passed over in
 * silence would make a test that tests something else.
 */
#include "tests/interop/testservice/flags.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
same_text(const char *a, const char *b)
{
	for (; *a != 0 && *b != 0; a++, b++) {
		char lower = *a >= 'A' && *a <= 'Z' ? (char)(*a - 'A' + 'a') : *a;

		if (lower != *b)
			return false;
	}
	return *a == *b;
}

static bool
set_bool(const char *text, bool *value)
{
	static const char *const yes[] = {"true", "t", "yes", "y", "1"};
	static const char *const no[] = {"false", "f", "no", "n", "0"};

	for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
		if (same_text(text, yes[i]) || same_text(text, no[i])) {
			*value = same_text(text, yes[i]);
			return true;
		}
	}
	return false;
}

static bool
set_number(const char *text, long *value)
{
	char *end;
	long number;

	errno = 0;
	number = strtol(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != 0 || errno != 0 || number > INT_MAX)
		return false;
	*value = number;
	return true;
}

static bool
set(const interop_flag *flag, const char *text)
{
	switch (flag->kind) {
	case INTEROP_TEXT:
		*(const char **)flag->value = text;
		return true;
	case INTEROP_NUMBER:
		return set_number(text, (long *)flag->value);
	default:
		return set_bool(text, (bool *)flag->value);
	}
}

static const interop_flag *
find(const interop_flag *flags, const char *name, size_t size)
{
	for (; flags->name != NULL; flags++)
		if (strlen(flags->name) == size && memcmp(flags->name, name, size) == 0)
			return flags;
	return NULL;
}

static void
print_help(const char *program, const interop_flag *flags)
{
	printf("usage: %s [--flag=value]...\n", program);
	for (; flags->name != NULL; flags++) {
		printf("  --%s=", flags->name);
		if (flags->kind == INTEROP_TEXT)
			printf("%s", *(const char **)flags->value);
		else if (flags->kind == INTEROP_NUMBER)
			printf("%ld", *(const long *)flags->value);
		else
			printf("%s", *(const bool *)flags->value ? "true" : "false");
		printf("\n      %s\n", flags->help);
	}
}

/* Reads one flag, at argv[i]; answers how many words it took, 0: it is wrong. */
static int
read_flag(const char *program, const interop_flag *flags, int left, char **words)
{
	const char *name = words[0], *equals = strchr(name, '='), *text;
	const interop_flag *flag;
	int took = 1;

	name += name[0] == '-' ? 1 : 0;
	name += name[0] == '-' ? 1 : 0;
	flag = find(flags, name, equals != NULL ? (size_t)(equals - name) : strlen(name));
	if (name == words[0] || flag == NULL) {
		fprintf(stderr, "%s: unknown flag %s; --help lists them\n", program, words[0]);
		return 0;
	}
	if (equals != NULL) {
		text = equals + 1;
	} else if (flag->kind == INTEROP_BOOL) {
		text = "true";
	} else if (left > 1) {
		text = words[1];
		took = 2;
	} else {
		fprintf(stderr, "%s: --%s lacks a value\n", program, flag->name);
		return 0;
	}
	if (set(flag, text))
		return took;
	fprintf(stderr, "%s: --%s: \"%s\" is no %s\n", program, flag->name, text,
	    flag->kind == INTEROP_BOOL ? "boolean" : "number from 0 to 2147483647");
	return 0;
}

interop_parsed
interop_flags_parse(const char *program, const interop_flag *flags, int argc, char **argv)
{
	int took;

	for (int i = 1; i < argc; i += took) {
		if (strcmp(argv[i], "--help") == 0) {
			print_help(program, flags);
			return INTEROP_HELPED;
		}
		took = read_flag(program, flags, argc - i, argv + i);
		if (took == 0)
			return INTEROP_WRONG;
	}
	return INTEROP_PARSED;
}
