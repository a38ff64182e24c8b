/*
 * config.c: the rules of a service config. It is checked whole when it is given: nothing of a bad
 * one takes effect, and no call can meet a mistake in it later. A text may come from anywhere, so
 * its size is bounded, and with it everything that is made of it.
 */
#include "client/config.h"

#include "client/config_json.h"
#include "runtime/base/alloc.h"
#include "runtime/base/bytes.h"

#include <stdio.h>
#include <stdlib.h>

#define TOKENS_MOST 1000u

/* ---- policies ---- */

/* At least 2, at most 5: what is more counts as 5. */
static bool
read_attempts(const fc_json *policy, unsigned *to)
{
	uint32_t n;
	fc_json at;

	if (!fc_json_enter(policy, "maxAttempts", &at))
		return fc_json_bad(policy, "maxAttempts is missing");
	if (!fc_json_u32(&at, &n))
		return false;
	if (n < 2)
		return fc_json_bad(&at, "%u is less than 2", n);
	*to = FC_MIN(n, FC_ATTEMPTS_MOST);
	return true;
}

static bool
read_pause(const fc_json *policy, const char *key, uint64_t *ns)
{
	fc_json at;

	if (!fc_json_enter(policy, key, &at))
		return fc_json_bad(policy, "%s is missing", key);
	if (!fc_json_duration(&at, ns))
		return false;
	return *ns != 0 || fc_json_bad(&at, "it must be more than 0");
}

static bool
read_retry_policy(const fc_json *at, fc_policy *policy)
{
	fc_json member;

	if (!fc_json_is_object(at) || !read_attempts(at, &policy->attempts) ||
	    !read_pause(at, "initialBackoff", &policy->first_ns) ||
	    !read_pause(at, "maxBackoff", &policy->most_ns))
		return false;
	if (!fc_json_enter(at, "backoffMultiplier", &member))
		return fc_json_bad(at, "backoffMultiplier is missing");
	if (!fc_json_number(&member, &policy->multiplier))
		return false;
	if (!(policy->multiplier > 0))
		return fc_json_bad(&member, "it must be more than 0");
	if (!fc_json_enter(at, "retryableStatusCodes", &member))
		return fc_json_bad(at, "retryableStatusCodes is missing");
	if (!fc_json_codes(&member, &policy->codes))
		return false;
	if (policy->codes == 0)
		return fc_json_bad(&member, "it must name a status code");
	fc_json_warn(
	    at, "maxAttempts initialBackoff maxBackoff backoffMultiplier retryableStatusCodes");
	return true;
}

static bool
read_hedging_policy(const fc_json *at, fc_policy *policy)
{
	fc_json member;

	policy->hedges = true;
	if (!fc_json_is_object(at) || !read_attempts(at, &policy->attempts))
		return false;
	if (fc_json_enter(at, "hedgingDelay", &member) &&
	    !fc_json_duration(&member, &policy->delay_ns))
		return false;
	if (fc_json_enter(at, "nonFatalStatusCodes", &member) &&
	    !fc_json_codes(&member, &policy->codes))
		return false;
	fc_json_warn(at, "maxAttempts hedgingDelay nonFatalStatusCodes");
	return true;
}

static bool
read_policy(const fc_json *method, fc_policy *policy)
{
	fc_json retry, hedging;
	bool retries = fc_json_enter(method, "retryPolicy", &retry);

	if (!fc_json_enter(method, "hedgingPolicy", &hedging))
		return !retries || read_retry_policy(&retry, policy);
	if (retries)
		return fc_json_bad(&hedging, "there is a retryPolicy beside it");
	return read_hedging_policy(&hedging, policy);
}

/* ---- names ---- */

static bool
make_name(const fc_json *at, const char *service, const char *method, fc_config_name *to)
{
	size_t room = strlen(service) + strlen(method) + sizeof "//";

	to->path = (char *)fc_malloc(room);
	if (to->path == NULL) {
		fc_fail_memory(at->error, "service config");
		return false;
	}
	to->path[0] = 0;
	if (service[0] != 0)
		snprintf(to->path, room, "/%s/%s", service, method);
	to->size = strlen(to->path);
	return true;
}

static bool
read_name(const fc_json *at, const fc_method_config *method, fc_service_config *config)
{
	const char *service_name = "", *method_name = "";
	fc_json member;

	if (!fc_json_is_object(at))
		return false;
	if (fc_json_enter(at, "service", &member)) {
		if (!fc_json_text(&member, &service_name))
			return false;
		if (strchr(service_name, '/') != NULL)
			return fc_json_bad(&member, "a service's name has no '/'");
	}
	if (fc_json_enter(at, "method", &member)) {
		if (!fc_json_text(&member, &method_name))
			return false;
		if (strchr(method_name, '/') != NULL)
			return fc_json_bad(&member, "a method's name has no '/'");
	}
	if (service_name[0] == 0 && method_name[0] != 0)
		return fc_json_bad(at, "a method without its service");
	fc_json_warn(at, "service method");
	if (!make_name(at, service_name, method_name, &config->names[config->n_names]))
		return false;
	config->names[config->n_names++].method = method;
	return true;
}

static bool
read_names(const fc_json *at, const fc_method_config *method, fc_service_config *config)
{
	size_t n, wanted;
	fc_config_name *room;

	if (!fc_json_is_list(at))
		return false;
	n = json_array_size(at->value);
	wanted = config->n_names + n;
	room = (fc_config_name *)fc_realloc(config->names, (wanted + 1) * sizeof *room);
	if (room == NULL) {
		fc_fail_memory(at->error, "service config");
		return false;
	}
	config->names = room;
	for (size_t i = 0; i < n; i++) {
		const fc_json item = fc_json_item(at, i);

		if (!read_name(&item, method, config))
			return false;
	}
	return true;
}

static int
compare(const void *a, const void *b)
{
	return strcmp(((const fc_config_name *)a)->path, ((const fc_config_name *)b)->path);
}

/* In order, so that a call's is found quickly; the same one twice has no meaning. */
static bool
sort_names(const fc_json *at, fc_service_config *config)
{
	if (config->n_names == 0)
		return true;
	qsort(config->names, config->n_names, sizeof *config->names, compare);
	for (size_t i = 1; i < config->n_names; i++)
		if (strcmp(config->names[i - 1].path, config->names[i].path) == 0)
			return fc_json_bad(at, "the name %s appears twice",
			    config->names[i].size != 0 ? config->names[i].path : "{}");
	return true;
}

/* ---- methods ---- */

static bool
read_limits(const fc_json *at, fc_method_config *method)
{
	fc_json member;

	if (fc_json_enter(at, "maxRequestMessageBytes", &member) &&
	    !fc_json_u32(&member, &method->max_request))
		return false;
	return !fc_json_enter(at, "maxResponseMessageBytes", &member) ||
	    fc_json_u32(&member, &method->max_message);
}

static bool
read_method(const fc_json *at, fc_method_config *method, fc_service_config *config)
{
	fc_json member;

	method->timeout_ns = UINT64_MAX;
	method->max_request = method->max_message = UINT32_MAX;
	if (!fc_json_is_object(at))
		return false;
	if (fc_json_enter(at, "name", &member) && !read_names(&member, method, config))
		return false;
	method->has_wait = fc_json_enter(at, "waitForReady", &member);
	if (method->has_wait && !fc_json_flag(&member, &method->wait_for_ready))
		return false;
	if (fc_json_enter(at, "timeout", &member) &&
	    !fc_json_duration(&member, &method->timeout_ns))
		return false;
	if (!read_limits(at, method) || !read_policy(at, &method->policy))
		return false;
	fc_json_warn(at,
	    "name waitForReady timeout maxRequestMessageBytes maxResponseMessageBytes "
	    "retryPolicy hedgingPolicy");
	return true;
}

static bool
read_methods(const fc_json *at, fc_service_config *config)
{
	size_t n;

	if (!fc_json_is_list(at))
		return false;
	n = json_array_size(at->value);
	config->methods = (fc_method_config *)fc_calloc(n + 1, sizeof *config->methods);
	if (config->methods == NULL) {
		fc_fail_memory(at->error, "service config");
		return false;
	}
	for (; config->n_methods < n; config->n_methods++) {
		const fc_json item = fc_json_item(at, config->n_methods);

		if (!read_method(&item, &config->methods[config->n_methods], config))
			return false;
	}
	return sort_names(at, config);
}

/* ---- the whole ---- */

static bool
read_throttling(const fc_json *at, fc_service_config *config)
{
	uint32_t tokens;
	double ratio;
	fc_json member;

	if (!fc_json_is_object(at))
		return false;
	if (!fc_json_enter(at, "maxTokens", &member))
		return fc_json_bad(at, "maxTokens is missing");
	if (!fc_json_u32(&member, &tokens))
		return false;
	if (tokens == 0 || tokens > TOKENS_MOST)
		return fc_json_bad(&member, "%u is not within 1 and %u", tokens, TOKENS_MOST);
	if (!fc_json_enter(at, "tokenRatio", &member))
		return fc_json_bad(at, "tokenRatio is missing");
	if (!fc_json_number(&member, &ratio))
		return false;
	if (!(ratio >= 0.001))
		return fc_json_bad(&member, "it must be at least 0.001");
	fc_json_warn(at, "maxTokens tokenRatio");
	config->max_tokens = tokens * 1000;
	/* Three decimals count; what the binary fraction lacks of them is no rounding down. */
	config->token_ratio = (unsigned)(FC_MIN(ratio, (double)tokens) * 1000 + 1e-6);
	return true;
}

/* false: it is none that we know. */
static bool
known_policy(const char *name, bool *round_robin)
{
	*round_robin = strcmp(name, "round_robin") == 0;
	return *round_robin || strcmp(name, "pick_first") == 0;
}

static bool
read_balancing(const fc_json *at, fc_service_config *config)
{
	if (!fc_json_is_list(at))
		return false;
	for (size_t i = 0; i < json_array_size(at->value); i++) {
		const fc_json item = fc_json_item(at, i);
		fc_json policy;
		const char *name;

		if (!fc_json_is_object(&item))
			return false;
		if (json_object_size(item.value) != 1)
			return fc_json_bad(&item, "it must have one member, the policy's name");
		name = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)item.value));
		if (!known_policy(name, &config->round_robin))
			continue;
		if (!fc_json_enter(&item, name, &policy))
			return fc_json_bad(&item, "%s: an object is wanted, this is null", name);
		fc_json_warn(&policy, "");
		return fc_json_is_object(&policy);
	}
	return fc_json_bad(at, "there is no policy known here: pick_first, round_robin");
}

/* The older form, a name. Its letters may be of either case. */
static bool
read_old_balancing(const fc_json *at, fc_service_config *config)
{
	char name[32] = "";
	const char *text;

	if (!fc_json_text(at, &text))
		return false;
	for (size_t i = 0; i < sizeof name - 1 && text[i] != 0; i++)
		name[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] - 'A' + 'a' : text[i]);
	return known_policy(name, &config->round_robin) ||
	    fc_json_bad(at, "\"%.40s\" is no policy known here: pick_first, round_robin", text);
}

static bool
read_all(const fc_json *at, fc_service_config *config)
{
	fc_json member;

	if (!fc_json_is_object(at))
		return false;
	if (fc_json_enter(at, "loadBalancingPolicy", &member) &&
	    !read_old_balancing(&member, config))
		return false;
	if (fc_json_enter(at, "loadBalancingConfig", &member) && !read_balancing(&member, config))
		return false;
	if (fc_json_enter(at, "methodConfig", &member) && !read_methods(&member, config))
		return false;
	if (fc_json_enter(at, "retryThrottling", &member) && !read_throttling(&member, config))
		return false;
	fc_json_warn(at, "loadBalancingPolicy loadBalancingConfig methodConfig retryThrottling");
	return true;
}

fc_service_config *
fc_service_config_parse(const char *json, fc_error *error)
{
	fc_service_config *config = NULL;
	json_t *root = fc_json_parse(json, error);
	const fc_json at = {.value = root, .error = error};

	if (root == NULL)
		return NULL;
	config = (fc_service_config *)fc_calloc(1, sizeof *config);
	if (config == NULL) {
		fc_fail_memory(error, "service config");
	} else if (!read_all(&at, config)) {
		fc_service_config_free(config);
		config = NULL;
	}
	json_decref(root);
	return config;
}

void
fc_service_config_free(fc_service_config *config)
{
	if (config == NULL)
		return;
	for (size_t i = 0; i < config->n_names; i++)
		fc_free(config->names[i].path);
	fc_free(config->names);
	fc_free(config->methods);
	fc_free(config);
}

/* ---- looking up ---- */

static const fc_method_config *
find(const fc_service_config *config, const char *path, size_t size)
{
	size_t from = 0, to = config->n_names;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		const fc_config_name *name = &config->names[middle];
		int order = memcmp(path, name->path, FC_MIN(size, name->size));

		if (order == 0 && size == name->size)
			return name->method;
		if (order < 0 || (order == 0 && size < name->size))
			to = middle;
		else
			from = middle + 1;
	}
	return NULL;
}

const fc_method_config *
fc_service_config_find(const fc_service_config *config, const char *path)
{
	const char *slash = strrchr(path, '/');
	const fc_method_config *method = find(config, path, strlen(path));

	if (method == NULL && slash != NULL)
		method = find(config, path, (size_t)(slash - path) + 1);
	return method != NULL ? method : find(config, path, 0);
}
