/*
 * metadata.c: see metadata.h. The rules of names and values are gRPC's (PROTOCOL-HTTP2,
 * "Custom-Metadata"): checked when they are given to us, so that a program cannot send what a peer
 * would have to refuse.
 */
#include "runtime/call/metadata.h"

#include "runtime/base/base64.h"
#include "runtime/base/bytes.h"
#include "runtime/base/log.h"

#include <string.h>

static bool
ends_in_bin(const char *key, size_t size)
{
	return size > 4 && memcmp(key + size - 4, "-bin", 4) == 0;
}

/* One or more base64 values joined by commas: as many items, within `left` more than one. A comma
 * is a byte on the wire, less with HPACK, and an item is fifty. false: no memory. */
static bool
receive_binary(
    fc_metadata_item **to, fc_arena *arena, const fc_pair *pair, const char *key, size_t *left)
{
	const char *at = pair->value, *end = at + pair->value_size;

	for (;; (*left)--) {
		const char *comma = (const char *)memchr(at, ',', (size_t)(end - at));
		size_t size = (size_t)((comma != NULL ? comma : end) - at);
		uint8_t *value = (uint8_t *)fc_arena_alloc(arena, size + 1);
		fc_metadata_item *item = *to;

		if (value == NULL)
			return false;
		if (fc_base64_decode(value, &item->size, at, size)) {
			value[item->size] = 0;
			item->key = key;
			item->value = (const char *)value;
			item->binary = true;
			++*to;
		} else {
			fc_log(FARCALL_LOG_INFO, "metadata %s: not base64, dropped", key);
		}
		if (comma == NULL)
			return true;
		if (*left == 0) {
			fc_log(
			    FARCALL_LOG_INFO, "metadata %s: too many commas, values dropped", key);
			return true;
		}
		at = comma + 1;
	}
}

static bool
receive_one(fc_metadata_item **to, fc_arena *arena, const fc_pair *pair, size_t *left)
{
	const char *key = fc_arena_strndup(arena, pair->name, pair->name_size);
	fc_metadata_item *item = *to;

	if (key == NULL)
		return false;
	if ((pair->flags & FC_PAIR_BASE64) != 0)
		return receive_binary(to, arena, pair, key, left);
	item->key = key;
	item->value = fc_arena_strndup(arena, pair->value, pair->value_size);
	item->size = pair->value_size;
	item->binary = false;
	++*to;
	return item->value != NULL;
}

bool
fc_metadata_receive(farcall_metadata *metadata, fc_arena *arena, size_t n, const fc_pair *pairs)
{
	fc_metadata_item *items, *to;
	size_t commas = 0, left;

	if (n == 0)
		return true;
	for (size_t i = 0; i < n; i++)
		if ((pairs[i].flags & FC_PAIR_BASE64) != 0)
			for (size_t j = 0; j < pairs[i].value_size; j++)
				commas += pairs[i].value[j] == ',';
	left = FC_MIN(commas, FC_SPLITS_MOST);
	items = to = (fc_metadata_item *)fc_arena_alloc(arena, (n + left) * sizeof *items);
	if (items == NULL)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!receive_one(&to, arena, &pairs[i], &left))
			return false;
	metadata->items = items;
	metadata->n = (size_t)(to - items);
	return true;
}

static farcall_code
check_key(const char *key, size_t size, bool binary, fc_error *error)
{
	const char *wrong = NULL;

	for (size_t i = 0; i < size && wrong == NULL; i++) {
		char c = key[i];

		if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '.' &&
		    c != '-')
			wrong = c >= 'A' && c <= 'Z' ? "has an upper-case letter"
			                             : "has a character outside [0-9a-z_.-]";
	}
	if (size == 0)
		wrong = "is empty";
	else if (wrong == NULL && strncmp(key, "grpc-", 5) == 0 &&
	    strcmp(key, "grpc-retry-pushback-ms") != 0)
		wrong = "begins with \"grpc-\", which is reserved";
	else if (wrong == NULL && ends_in_bin(key, size) != binary)
		wrong =
		    binary ? "does not end in \"-bin\"" : "ends in \"-bin\", which is for bytes";
	if (wrong == NULL)
		return FARCALL_OK;
	return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
	    "metadata key \"%.80s\" %s", key, wrong);
}

/* Names that the protocol itself uses; a program may not set them. */
static bool
is_reserved(const char *key)
{
	static const char *const reserved[] = {"te", "content-type", "content-length", "host",
	    "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade",
	    "user-agent"};

	for (size_t i = 0; i < FC_COUNT(reserved); i++)
		if (strcmp(key, reserved[i]) == 0)
			return true;
	return false;
}

static farcall_code
check_value(const char *key, const char *value, size_t size, fc_error *error)
{
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)value[i] < 0x20 || (unsigned char)value[i] > 0x7e)
			return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
			    "metadata value of \"%s\": byte %zu is not printable ASCII", key, i);
	if (size != 0 && (value[0] == ' ' || value[size - 1] == ' '))
		return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
		    "metadata value of \"%s\" begins or ends with a blank", key);
	return FARCALL_OK;
}

static bool
make_room(fc_pairs *pairs, fc_arena *arena)
{
	size_t room = pairs->room == 0 ? 8 : pairs->room * 2;
	fc_pair *at;

	if (pairs->n < pairs->room)
		return true;
	at = (fc_pair *)fc_arena_alloc(arena, room * sizeof *at);
	if (at == NULL)
		return false;
	if (pairs->n != 0)
		memcpy(at, pairs->at, pairs->n * sizeof *at);
	pairs->at = at;
	pairs->room = room;
	return true;
}

farcall_code
fc_pairs_add(fc_pairs *pairs, fc_arena *arena, const char *key, const void *value, size_t size,
    bool binary, fc_error *error)
{
	size_t key_size = key != NULL ? strlen(key) : 0;
	fc_pair *pair;
	char *copy;

	if (key == NULL || (value == NULL && size != 0))
		return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
		    "metadata key or value is NULL");
	if (check_key(key, key_size, binary, error) != FARCALL_OK)
		return FARCALL_INVALID_ARGUMENT;
	if (is_reserved(key))
		return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
		    "metadata key \"%s\" is the protocol's own", key);
	if (!binary && check_value(key, (const char *)value, size, error) != FARCALL_OK)
		return FARCALL_INVALID_ARGUMENT;
	if (pairs->n == FC_PAIRS_MOST)
		return fc_fail(error, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_LIMIT,
		    "metadata key \"%s\": more than %u pairs", key, FC_PAIRS_MOST);
	copy = size <= UINT32_MAX ? (char *)fc_arena_alloc(arena, key_size + size + 1) : NULL;
	if (copy == NULL || !make_room(pairs, arena))
		return fc_fail(error, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_LIMIT,
		    "metadata key \"%s\": no room in the call's memory", key);
	memcpy(copy, key, key_size);
	if (size != 0)
		memcpy(copy + key_size, value, size);
	pair = &pairs->at[pairs->n++];
	pair->name = copy;
	pair->name_size = (uint32_t)key_size;
	pair->value = copy + key_size;
	pair->value_size = (uint32_t)size;
	pair->flags = binary ? FC_PAIR_BINARY : 0;
	if (strcmp(key, "authorization") == 0)
		pair->flags |= FC_PAIR_SENSITIVE;
	return FARCALL_OK;
}

bool
fc_pairs_put(fc_pairs *pairs, fc_arena *arena, const fc_pair *pair)
{
	if (!make_room(pairs, arena))
		return false;
	pairs->at[pairs->n++] = *pair;
	return true;
}

farcall_code
fc_pairs_join(fc_pairs *pairs, fc_arena *arena, const fc_pairs *others, fc_error *error)
{
	for (size_t i = 0; i < others->n; i++) {
		const fc_pair *pair = &others->at[i];

		if (pairs->n == FC_PAIRS_MOST)
			return fc_fail(error, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_LIMIT,
			    "metadata key \"%.*s\": more than %u pairs", (int)pair->name_size,
			    pair->name, FC_PAIRS_MOST);
		if (!fc_pairs_put(pairs, arena, pair))
			return fc_fail(error, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_LIMIT,
			    "metadata key \"%.*s\": no room in the call's memory",
			    (int)pair->name_size, pair->name);
	}
	return FARCALL_OK;
}

bool
fc_pairs_show(const fc_pairs *pairs, fc_arena *arena, farcall_metadata *metadata)
{
	fc_metadata_item *items;

	if (pairs->n == 0)
		return true;
	items = (fc_metadata_item *)fc_arena_alloc(arena, pairs->n * sizeof *items);
	if (items == NULL)
		return false;
	for (size_t i = 0; i < pairs->n; i++) {
		const fc_pair *pair = &pairs->at[i];

		items[i].key = fc_arena_strndup(arena, pair->name, pair->name_size);
		items[i].value = fc_arena_strndup(arena, pair->value, pair->value_size);
		items[i].size = pair->value_size;
		items[i].binary = (pair->flags & FC_PAIR_BINARY) != 0;
		if (items[i].key == NULL || items[i].value == NULL)
			return false;
	}
	metadata->items = items;
	metadata->n = pairs->n;
	return true;
}

const char *
farcall_metadata_get(const farcall_metadata *metadata, const char *key)
{
	for (size_t i = 0; metadata != NULL && key != NULL && i < metadata->n; i++)
		if (!metadata->items[i].binary && strcmp(metadata->items[i].key, key) == 0)
			return metadata->items[i].value;
	return NULL;
}

const void *
farcall_metadata_get_bin(const farcall_metadata *metadata, const char *key, size_t *size)
{
	for (size_t i = 0; metadata != NULL && key != NULL && i < metadata->n; i++) {
		if (!metadata->items[i].binary || strcmp(metadata->items[i].key, key) != 0)
			continue;
		if (size != NULL)
			*size = metadata->items[i].size;
		return metadata->items[i].value;
	}
	return NULL;
}

bool
farcall_metadata_at(
    const farcall_metadata *metadata, size_t i, const char **key, const void **value, size_t *size)
{
	if (metadata == NULL || i >= metadata->n)
		return false;
	if (key != NULL)
		*key = metadata->items[i].key;
	if (value != NULL)
		*value = metadata->items[i].value;
	if (size != NULL)
		*size = metadata->items[i].size;
	return true;
}
