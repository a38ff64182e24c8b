/*
 * guard_text.c: what the guard says. The text begins with the outermost message's type and the
 * names of the fields that lead to the culprit, "demo.Tree.child.name"; of a long way only its
 * first and last steps. Nothing of the peer's bytes is quoted.
 */
#include "runtime/call/guard_walk.h"

#include <stdio.h>

#define PATH 160
#define FIRST_STEPS 3
#define LAST_STEPS 4

static size_t
put(char *path, size_t at, const char *text)
{
	int n = snprintf(path + at, PATH - at, "%s", text);

	return n < 0 ? at : FC_MIN(at + (size_t)n, PATH - 1);
}

static void
write_path(const fc_guard_walk *walk, const ProtobufCFieldDescriptor *field, char *path)
{
	size_t steps = (size_t)(walk->top - walk->levels);
	size_t at = put(path, 0, walk->levels[0].type->name);

	for (size_t i = 1; i <= steps; i++) {
		if (i == FIRST_STEPS + 1 && steps > FIRST_STEPS + LAST_STEPS) {
			at = put(path, at, "...");
			i = steps - LAST_STEPS + 1;
		}
		at = put(path, at, ".");
		at = put(path, at, walk->levels[i].via->name);
	}
	if (field != NULL) {
		at = put(path, at, ".");
		put(path, at, field->name);
	}
}

static void
say(fc_guard_walk *walk, const ProtobufCFieldDescriptor *field, farcall_cause cause,
    const char *format, va_list arguments)
{
	char path[PATH], text[FC_ERROR_TEXT];

	write_path(walk, field, path);
	vsnprintf(text, sizeof text, format, arguments);
	fc_fail(walk->error, walk->code, cause, "%s: %s", path, text);
}

void
fc_guard_say_bad(
    fc_guard_walk *walk, const ProtobufCFieldDescriptor *field, const char *format, ...)
{
	va_list arguments;

	walk->code = FARCALL_INVALID_ARGUMENT;
	va_start(arguments, format);
	say(walk, field, FARCALL_CAUSE_PROTOCOL, format, arguments);
	va_end(arguments);
}

void
fc_guard_say_limit(
    fc_guard_walk *walk, const ProtobufCFieldDescriptor *field, const char *format, ...)
{
	va_list arguments;

	walk->code = FARCALL_RESOURCE_EXHAUSTED;
	va_start(arguments, format);
	say(walk, field, FARCALL_CAUSE_LIMIT, format, arguments);
	va_end(arguments);
}

void
fc_guard_say_no_memory(fc_guard_walk *walk)
{
	if (walk->arena->state == FC_ARENA_AT_CAP)
		fc_guard_say_limit(
		    walk, NULL, "takes more memory than the call's %zu bytes", walk->arena->most);
	else
		walk->code = fc_fail_memory(walk->error, walk->levels[0].type->name);
}
