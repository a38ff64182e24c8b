/*
 * fuzz_config.c: any bytes as a service config. The first one is the allocation that fails (0:
 * none). What is taken must keep the rules that calls rely on; what is refused must say why.
 */
#include "tests/fuzz/fuzz.h"

#include "client/config.h"

#include <farcall/alloc.h>
#include <farcall/log.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned long countdown;

static void
must(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "broken rule: %s\n", what);
	abort();
}

static void *
fuzz_malloc(size_t size, void *data)
{
	(void)data;
	return countdown != 0 && --countdown == 0 ? NULL : malloc(size);
}

static void *
fuzz_realloc(void *memory, size_t size, void *data)
{
	(void)data;
	return countdown != 0 && --countdown == 0 ? NULL : realloc(memory, size);
}

static void
fuzz_free(void *memory, void *data)
{
	(void)data;
	free(memory);
}

static void
no_log(farcall_log_level level, const char *text, void *data)
{
	(void)level, (void)data;
	must(strlen(text) < 10000, "a line of the log");
}

static void
check_policy(const fc_policy *policy)
{
	if (policy->attempts == 0)
		return;
	must(policy->attempts >= 2 && policy->attempts <= FC_ATTEMPTS_MOST, "attempts");
	must(policy->codes < UINT32_C(1) << 17, "codes");
	must(policy->hedges ||
	        (policy->codes != 0 && policy->first_ns != 0 && policy->most_ns != 0 &&
	            policy->multiplier > 0),
	    "a retry policy");
}

static void
check(const fc_service_config *config)
{
	must(config->max_tokens <= 1000000, "tokens");
	must((config->max_tokens == 0) == (config->token_ratio == 0), "throttling");
	must(config->token_ratio <= config->max_tokens, "ratio");
	for (size_t i = 0; i < config->n_methods; i++)
		check_policy(&config->methods[i].policy);
	for (size_t i = 0; i < config->n_names; i++) {
		const fc_config_name *name = &config->names[i];

		must(fc_service_config_find(config, name->path) == name->method ||
		        strchr(name->path, '/') == NULL || name->path[name->size - 1] == '/',
		    "a name that is not found");
	}
	fc_service_config_find(config, "/pkg.Service/Method");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const farcall_allocator allocator = {
	    .malloc = fuzz_malloc, .realloc = fuzz_realloc, .free = fuzz_free};
	fc_service_config *config;
	fc_error error;
	char *text;

	if (size == 0)
		return 0;
	farcall_set_allocator(&allocator);
	farcall_log_set(no_log, NULL);
	text = (char *)malloc(size);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = 0;
	countdown = data[0];
	fc_error_clear(&error);
	config = fc_service_config_parse(text, &error);
	countdown = 0;
	must((config == NULL) == (error.code != FARCALL_OK), "an error without a text");
	if (config != NULL)
		check(config);
	else
		must(strncmp(error.text, "service config: ", 16) == 0, "where it is");
	fc_service_config_free(config);
	free(text);
	farcall_set_allocator(NULL);
	farcall_log_set(NULL, NULL);
	return 0;
}
