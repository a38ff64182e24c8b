/*
 * config.h: gRPC's service config (grpc/grpc doc/service_config.md, gRFC A2, A6, A21): what a
 * service wants of its clients, by method. Made once, when the channel is set up, and constant from
 * then on: any thread may read it.
 */
#ifndef FC_CLIENT_CONFIG_H
#define FC_CLIENT_CONFIG_H

#include "runtime/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FC_CONFIG_MOST 65536u /* bytes of the JSON */
#define FC_ATTEMPTS_MOST 5u   /* more are cut to it, by A6 */

/* What is tried beyond the first attempt. */
typedef struct fc_policy {
	unsigned attempts; /* in all, the first one included; 0: there is no policy */
	bool hedges;
	uint32_t codes; /* a bit for each code: retryable; of a hedge: not fatal */

	/* retries: the pauses before them */
	uint64_t first_ns, most_ns;
	double multiplier;

	uint64_t delay_ns; /* hedges: between two of them; 0: all at once */
} fc_policy;

typedef struct fc_method_config {
	bool has_wait, wait_for_ready;
	uint64_t timeout_ns;               /* UINT64_MAX: none */
	uint32_t max_request, max_message; /* bytes; UINT32_MAX: no limit */
	fc_policy policy;
} fc_method_config;

/* "/pkg.Service/Method", "/pkg.Service/" for the whole of it, "" for all others. */
typedef struct fc_config_name {
	char *path;
	size_t size;
	const fc_method_config *method;
} fc_config_name;

typedef struct fc_service_config {
	bool round_robin;
	unsigned max_tokens, token_ratio; /* thousandths; 0: nothing is throttled */
	fc_method_config *methods;
	size_t n_methods;
	fc_config_name *names; /* in order */
	size_t n_names;
} fc_service_config;

/* NULL: `error` says where it is wrong, and what. */
fc_service_config *fc_service_config_parse(const char *json, fc_error *error);
void fc_service_config_free(fc_service_config *config); /* may be NULL */

/* By the method's path: the method's own, else its service's, else the default; NULL: none. */
const fc_method_config *fc_service_config_find(const fc_service_config *config, const char *path);

#endif
