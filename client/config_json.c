/*
 * config_json.c: values of a service config's JSON. What does not parse is told with line and
 * column, what has the wrong kind or value with its path. Members that appear twice are refused;
 * those that nobody knows are ignored, as protocol buffers' JSON asks for, with a line in the log:
 * a misspelt one would be missed for long otherwise.
 *
 * The library's memory is the JSON library's own: its hooks are one set for the whole process, so
 * they are the program's to set.
 */
#include "client/config_json.h"

#include "client/config.h"
#include "runtime/base/bytes.h"
#include "runtime/base/log.h"

#include <stdio.h>

#define SECONDS_MOST UINT64_C(315576000000) /* of a google.protobuf.Duration */
#define NS_PER_S UINT64_C(1000000000)

json_t *
fc_json_parse(const char *text, fc_error *error)
{
	json_error_t wrong;
	size_t size = strlen(text);
	json_t *root;

	if (size > FC_CONFIG_MOST) {
		fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_TOO_LARGE,
		    "service config: %zu bytes are more than %u", size, FC_CONFIG_MOST);
		return NULL;
	}
	root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &wrong);
	if (root != NULL)
		return root;
	if (json_error_code(&wrong) == json_error_out_of_memory)
		fc_fail_memory(error, "service config");
	else
		fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
		    "service config: line %d, column %d: %s", wrong.line, wrong.column, wrong.text);
	return NULL;
}

/* ---- places ---- */

/* The path down to it; answers its length, as far as there is room. */
static size_t
put_path(const fc_json *at, char *to, size_t room)
{
	size_t size = at->up != NULL ? put_path(at->up, to, room) : 0;
	int n = 0;

	to[size] = 0;
	if (at->up != NULL && at->key != NULL)
		n = snprintf(to + size, room - size, "%s%.60s", size != 0 ? "." : "", at->key);
	else if (at->up != NULL)
		n = snprintf(to + size, room - size, "[%zu]", at->index);
	return FC_MIN(size + (size_t)(n > 0 ? n : 0), room - 1);
}

bool
fc_json_bad(const fc_json *at, const char *format, ...)
{
	char path[FC_ERROR_TEXT], what[FC_ERROR_TEXT];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(what, sizeof what, format, arguments);
	va_end(arguments);
	put_path(at, path, sizeof path);
	fc_fail(at->error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE, "service config: %s%s%s",
	    path, path[0] != 0 ? ": " : "", what);
	return false;
}

bool
fc_json_enter(const fc_json *up, const char *key, fc_json *to)
{
	const json_t *value = json_object_get(up->value, key);

	if (value == NULL || json_is_null(value))
		return false;
	*to = (fc_json){.value = value, .up = up, .key = key, .error = up->error};
	return true;
}

fc_json
fc_json_item(const fc_json *list, size_t index)
{
	return (fc_json){.value = json_array_get(list->value, index),
	    .up = list,
	    .index = index,
	    .error = list->error};
}

/* " retryPolicy hedgingPolicy " has each of its words with a blank at both sides. */
static bool
is_one_of(const char *key, const char *known)
{
	size_t size = strlen(key);

	for (const char *at = known; *at != 0;) {
		size_t word = strcspn(at, " ");

		if (word == size && memcmp(at, key, size) == 0)
			return true;
		at += word;
		at += strspn(at, " ");
	}
	return false;
}

void
fc_json_warn(const fc_json *object, const char *known)
{
	json_t *members = (json_t *)(uintptr_t)object->value;
	char path[FC_ERROR_TEXT];

	for (void *at = json_object_iter(members); at != NULL;
	     at = json_object_iter_next(members, at)) {
		const fc_json member = {
		    .value = NULL, .up = object, .key = json_object_iter_key(at)};

		if (is_one_of(member.key, known))
			continue;
		put_path(&member, path, sizeof path);
		fc_log(FARCALL_LOG_WARNING, "service config: %s: not known here, ignored", path);
	}
}

/* ---- kinds ---- */

static const char *
kind_of(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		break;
	}
	return "null";
}

static bool
wrong_kind(const fc_json *at, const char *wanted)
{
	return fc_json_bad(at, "%s is wanted, this is %s", wanted, kind_of(at->value));
}

bool
fc_json_is_object(const fc_json *at)
{
	return json_is_object(at->value) || wrong_kind(at, "an object");
}

bool
fc_json_is_list(const fc_json *at)
{
	return json_is_array(at->value) || wrong_kind(at, "a list");
}

bool
fc_json_flag(const fc_json *at, bool *to)
{
	if (!json_is_boolean(at->value))
		return wrong_kind(at, "true or false");
	*to = json_is_true(at->value);
	return true;
}

/* It has no NUL inside: the parser refuses that. */
bool
fc_json_text(const fc_json *at, const char **to)
{
	if (!json_is_string(at->value))
		return wrong_kind(at, "a string");
	*to = json_string_value(at->value);
	return true;
}

/* Within a string it is written as outside. */
bool
fc_json_number(const fc_json *at, double *to)
{
	json_error_t wrong;
	json_t *inside;

	if (json_is_number(at->value)) {
		*to = json_number_value(at->value);
		return true;
	}
	if (!json_is_string(at->value))
		return wrong_kind(at, "a number");
	inside = json_loads(json_string_value(at->value), JSON_DECODE_ANY, &wrong);
	if (!json_is_number(inside)) {
		json_decref(inside);
		return fc_json_bad(at, "\"%.40s\" is no number", json_string_value(at->value));
	}
	*to = json_number_value(inside);
	json_decref(inside);
	return true;
}

/* Digits alone; at most `most` of them. false: there is none, or there are more. */
static bool
digits(const char **at, unsigned most, uint64_t *to, unsigned *n)
{
	*to = 0;
	*n = 0;
	for (; **at >= '0' && **at <= '9'; ++*at) {
		if (++*n > most)
			return false;
		*to = *to * 10 + (uint64_t)(**at - '0');
	}
	return *n != 0;
}

bool
fc_json_u32(const fc_json *at, uint32_t *to)
{
	const char *text;
	uint64_t value;
	unsigned n;

	if (json_is_integer(at->value)) {
		json_int_t number = json_integer_value(at->value);

		if (number < 0 || number > (json_int_t)UINT32_MAX)
			return fc_json_bad(at, "%lld is not within 0 and %llu", (long long)number,
			    (unsigned long long)UINT32_MAX);
		*to = (uint32_t)number;
		return true;
	}
	if (!json_is_string(at->value))
		return wrong_kind(at, "a whole number");
	text = json_string_value(at->value);
	if (!digits(&text, 10, &value, &n) || *text != 0 || value > UINT32_MAX)
		return fc_json_bad(at, "\"%.40s\" is no number within 0 and %llu",
		    json_string_value(at->value), (unsigned long long)UINT32_MAX);
	*to = (uint32_t)value;
	return true;
}

/* Seconds, up to nine digits behind the point, and "s". */
bool
fc_json_duration(const fc_json *at, uint64_t *ns)
{
	const char *text;
	uint64_t seconds, rest = 0;
	unsigned n;

	if (!json_is_string(at->value))
		return wrong_kind(at, "a duration (\"1.5s\")");
	text = json_string_value(at->value);
	if (*text == '-')
		return fc_json_bad(at, "\"%.40s\" is negative", text);
	if (!digits(&text, 12, &seconds, &n))
		goto bad;
	if (*text == '.') {
		text++;
		if (!digits(&text, 9, &rest, &n))
			goto bad;
		for (; n < 9; n++)
			rest *= 10;
	}
	if (strcmp(text, "s") != 0)
		goto bad;
	if (seconds > SECONDS_MOST)
		return fc_json_bad(at, "more than %llu s", (unsigned long long)SECONDS_MOST);
	*ns = seconds >= UINT64_MAX / NS_PER_S - 1 ? UINT64_MAX : seconds * NS_PER_S + rest;
	return true;
bad:
	return fc_json_bad(at, "\"%.40s\" is no duration (\"1.5s\")", json_string_value(at->value));
}

/* ---- codes ---- */

/* Letters of ASCII, whatever the locale. */
static bool
same_name(const char *a, const char *b)
{
	for (; *a != 0; a++, b++) {
		char c = *a >= 'a' && *a <= 'z' ? (char)(*a - 'a' + 'A') : *a;

		if (c != *b)
			return false;
	}
	return *b == 0;
}

static bool
code_of(const fc_json *at, uint32_t *bit)
{
	uint32_t code = 0;

	if (!json_is_string(at->value)) {
		if (!json_is_integer(at->value))
			return wrong_kind(at, "a status code");
		if (!fc_json_u32(at, &code))
			return false;
		if (code > FARCALL_UNAUTHENTICATED)
			return fc_json_bad(at, "%u is no status code", code);
		*bit = UINT32_C(1) << code;
		return true;
	}
	for (code = 0; code <= FARCALL_UNAUTHENTICATED; code++) {
		if (same_name(
		        json_string_value(at->value), farcall_code_name((farcall_code)code))) {
			*bit = UINT32_C(1) << code;
			return true;
		}
	}
	return fc_json_bad(at, "\"%.40s\" is no status code", json_string_value(at->value));
}

bool
fc_json_codes(const fc_json *at, uint32_t *to)
{
	uint32_t bit = 0;

	if (!fc_json_is_list(at))
		return false;
	*to = 0;
	for (size_t i = 0; i < json_array_size(at->value); i++) {
		const fc_json item = fc_json_item(at, i);

		if (!code_of(&item, &bit))
			return false;
		*to |= bit;
	}
	return true;
}
