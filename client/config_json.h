/*
 * config_json.h: values of a JSON text, each with its place for error texts, read as the JSON form
 * of protocol buffers has them. The door to the JSON library: nothing but config.c uses it.
 */
#ifndef FC_CLIENT_CONFIG_JSON_H
#define FC_CLIENT_CONFIG_JSON_H

#include "runtime/base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* A value, and where it stands: "methodConfig[2].retryPolicy.maxAttempts". */
typedef struct fc_json {
	const json_t *value;
	const struct fc_json *up;
	const char *key; /* NULL: the item `index` of a list */
	size_t index;
	fc_error *error; /* what is wrong is told there, once */
} fc_json;

/* The whole text; NULL: line, column and what is wrong are in `error`. By json_decref(). */
json_t *fc_json_parse(const char *text, fc_error *error);

/* "service config: WHERE: ..."; answers false. */
bool fc_json_bad(const fc_json *at, const char *format, ...) FARCALL_PRINTF(2, 3);

/* false: it is not there, or null. */
bool fc_json_enter(const fc_json *up, const char *key, fc_json *to);
fc_json fc_json_item(const fc_json *list, size_t index);

/* The rest answer false, and tell, when it is of another kind or out of range. */
bool fc_json_is_object(const fc_json *at);
bool fc_json_is_list(const fc_json *at);
bool fc_json_flag(const fc_json *at, bool *to);
bool fc_json_text(const fc_json *at, const char **to);
bool fc_json_u32(const fc_json *at, uint32_t *to);      /* 5 or "5" */
bool fc_json_number(const fc_json *at, double *to);     /* finite */
bool fc_json_duration(const fc_json *at, uint64_t *ns); /* "1.5s", not negative */
bool fc_json_codes(const fc_json *at, uint32_t *to);    /* ["UNAVAILABLE", 14]: a bit for each */

/* A log line for each member that is none of `known` (separated by blanks): it has no effect. */
void fc_json_warn(const fc_json *object, const char *known);

#endif
