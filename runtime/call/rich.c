/*
 * rich.c: see rich.h. What comes of a peer is checked as any message: a type's address must be text
 * without a NUL, what is unknown is passed over, the rest is bytes until the program asks for it.
 */
#include "runtime/call/rich.h"

#include "runtime/base/log.h"
#include "runtime/base/utf8.h"
#include "runtime/call/marshal.h"
#include "runtime/call/wire.h"

#include <string.h>

#define TYPE_PREFIX "type.googleapis.com/"
#define KEY(number, wire) ((number) << 3 | (wire))

enum { STATUS_CODE = 1, STATUS_MESSAGE, STATUS_DETAILS, ANY_TYPE = 1, ANY_VALUE };

/* ---- writing ---- */

static size_t
varint_size(uint64_t value)
{
	size_t size = 1;

	for (; value >= 0x80; value >>= 7)
		size++;
	return size;
}

static uint8_t *
put_varint(uint8_t *to, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*to++ = (uint8_t)(value | 0x80);
	*to++ = (uint8_t)value;
	return to;
}

static size_t
field_size(size_t size)
{
	return 1 + varint_size(size) + size;
}

static uint8_t *
put_field(uint8_t *to, unsigned number, const void *bytes, size_t size)
{
	*to++ = (uint8_t)KEY(number, FC_WIRE_LENGTH);
	to = put_varint(to, size);
	if (bytes != NULL && size != 0)
		memcpy(to, bytes, size);
	return to + (bytes != NULL ? size : 0);
}

static fc_rich *
rich_of(farcall_call *call)
{
	fc_rich *rich = call->rich;

	if (rich != NULL)
		return rich;
	rich = (fc_rich *)fc_arena_alloc(&call->kept, sizeof *rich);
	if (rich == NULL)
		return NULL;
	memset(rich, 0, sizeof *rich);
	call->rich = rich;
	return rich;
}

/* Room for so many bytes more, or NULL: then the call is doomed. */
static uint8_t *
extend(farcall_call *call, size_t size)
{
	fc_rich *rich = rich_of(call);
	size_t room;
	uint8_t *packed;

	if (rich == NULL || size > FC_CALL_KEPT) {
		if (rich != NULL)
			call->kept.state = FC_ARENA_AT_CAP;
		goto fail;
	}
	if (rich->room - rich->size < size) {
		room = (rich->size + size) * 2;
		packed = (uint8_t *)fc_arena_alloc(&call->kept, room);
		if (packed == NULL)
			goto fail;
		if (rich->size != 0)
			memcpy(packed, rich->packed, rich->size);
		rich->packed = packed;
		rich->room = room;
	}
	rich->size += size;
	return rich->packed + rich->size - size;
fail:
	fc_call_doom_by_memory(call, &call->kept);
	return NULL;
}

/* The head of a detail: field 3, an Any with its type, up to the value, which is still to be
 * written there. */
static uint8_t *
begin_detail(farcall_call *call, const char *prefix, const char *type, size_t value_size)
{
	size_t prefix_size = strlen(prefix), type_size = prefix_size + strlen(type);
	size_t value = value_size != 0 ? field_size(value_size) : 0;
	size_t any = field_size(type_size) + value;
	uint8_t *to = extend(call, field_size(any));

	if (to == NULL)
		return NULL;
	to = put_field(to, STATUS_DETAILS, NULL, any);
	to = put_field(to, ANY_TYPE, NULL, type_size);
	memcpy(to, prefix, prefix_size);
	memcpy(to + prefix_size, type, type_size - prefix_size);
	to += type_size;
	return value_size != 0 ? put_field(to, ANY_VALUE, NULL, value_size) : to;
}

static bool
may_add(farcall_call *call)
{
	if (call != NULL && call->ops->server)
		return !call->doomed;
	fc_call_misuse(call, "add detail: not a server's call");
	return false;
}

static void
refuse(farcall_call *call, const char *what)
{
	call->doomed = true;
	fc_call_settle(call, FARCALL_INTERNAL, FARCALL_CAUSE_NONE, what, strlen(what));
}

void
farcall_call_add_detail(farcall_call *call, const ProtobufCMessage *detail)
{
	fc_payload payload;
	uint8_t *to;

	if (!may_add(call))
		return;
	if (detail == NULL || detail->descriptor->name == NULL ||
	    detail->descriptor->name[0] == 0) {
		refuse(call, "add detail: the message is NULL, or its type has no name");
		return;
	}
	if (!fc_payload_of_message(&payload, detail)) {
		refuse(call, "add detail: the message is nested too deep");
		return;
	}
	to = begin_detail(call, TYPE_PREFIX, detail->descriptor->name, payload.size);
	if (to != NULL && payload.size != 0)
		payload.flat(&payload, to);
}

void
farcall_call_add_detail_bytes(
    farcall_call *call, const char *type_url, const void *value, size_t size)
{
	uint8_t *to;

	if (!may_add(call))
		return;
	if (type_url == NULL || type_url[0] == 0 || (value == NULL && size != 0)) {
		refuse(call, "add detail: no type, or no value");
		return;
	}
	to = begin_detail(call, "", type_url, size);
	if (to != NULL && size != 0)
		memcpy(to, value, size);
}

bool
fc_rich_put(farcall_call *call, farcall_code code, const char *text)
{
	const fc_rich *rich = call->rich;
	size_t text_size = strlen(text), size;
	fc_pair pair = {
	    .name = FC_RICH_KEY, .name_size = sizeof FC_RICH_KEY - 1, .flags = FC_PAIR_BINARY};
	uint8_t *to;

	if (rich == NULL || rich->size == 0)
		return false;
	size = 2 + (text_size != 0 ? field_size(text_size) : 0) + rich->size;
	to = (uint8_t *)fc_arena_alloc(&call->kept, size);
	if (to == NULL)
		return false;
	pair.value = (const char *)to;
	pair.value_size = (uint32_t)size;
	*to++ = KEY(STATUS_CODE, FC_WIRE_VARINT);
	*to++ = (uint8_t)code;
	if (text_size != 0)
		to = put_field(to, STATUS_MESSAGE, text, text_size);
	memcpy(to, rich->packed, rich->size);
	return fc_pairs_put(&call->tail, &call->kept, &pair);
}

/* ---- reading ---- */

/* A field: its number, and its bytes or value. NULL: it is wrong. */
static const uint8_t *
get_field(const uint8_t *at, const uint8_t *end, uint32_t *key, const uint8_t **bytes, size_t *size,
    uint64_t *value)
{
	at = fc_wire_key(at, end, key);
	if (at == NULL)
		return NULL;
	if ((*key & 7) == FC_WIRE_VARINT)
		return fc_wire_varint(at, end, value);
	if ((*key & 7) != FC_WIRE_LENGTH)
		return fc_wire_pass(at, end, *key & 7);
	*bytes = fc_wire_length(at, end, size);
	return *bytes != NULL ? *bytes + *size : NULL;
}

static bool
read_any(const uint8_t *at, size_t size, fc_arena *arena, fc_rich_detail *detail)
{
	const uint8_t *end = at + size, *bytes = end, *type = NULL;
	size_t type_size = 0;
	uint64_t value;
	uint32_t key;

	detail->value = end;
	detail->size = 0;
	while (at != end) {
		at = get_field(at, end, &key, &bytes, &size, &value);
		if (at == NULL)
			return false;
		if (key == KEY(ANY_TYPE, FC_WIRE_LENGTH)) {
			type = bytes;
			type_size = size;
		} else if (key == KEY(ANY_VALUE, FC_WIRE_LENGTH)) {
			detail->value = bytes;
			detail->size = size;
		}
	}
	if (type_size != 0 && fc_utf8_check(type, type_size) != type_size)
		return false;
	detail->type_url =
	    type_size != 0 ? fc_arena_strndup(arena, (const char *)type, type_size) : "";
	return detail->type_url != NULL;
}

static bool
count_details(const uint8_t *at, const uint8_t *end, size_t *n)
{
	const uint8_t *bytes;
	uint64_t value;
	uint32_t key;
	size_t size;

	for (*n = 0; at != end; *n += key == KEY(STATUS_DETAILS, FC_WIRE_LENGTH)) {
		at = get_field(at, end, &key, &bytes, &size, &value);
		if (at == NULL)
			return false;
	}
	return true;
}

bool
fc_rich_read(const uint8_t *bytes, size_t size, fc_arena *arena, int32_t *code, fc_rich *rich)
{
	const uint8_t *at = bytes, *end = bytes + size, *any = end;
	fc_rich_detail *detail;
	uint64_t value = 0;
	uint32_t key;
	size_t n;

	*code = 0;
	if (!count_details(at, end, &n))
		return false;
	detail = (fc_rich_detail *)fc_arena_alloc(arena, (n != 0 ? n : 1) * sizeof *detail);
	if (detail == NULL)
		return false;
	rich->details = detail;
	while (at != end) {
		at = get_field(at, end, &key, &any, &size, &value);
		if (key == KEY(STATUS_CODE, FC_WIRE_VARINT))
			*code = (int32_t)value;
		else if (key == KEY(STATUS_DETAILS, FC_WIRE_LENGTH) &&
		    !read_any(any, size, arena, detail++))
			return false;
	}
	rich->n = n;
	return true;
}

/* What the server has sent, read once. */
static const fc_rich *
received(farcall_call *call)
{
	fc_rich *rich = call->rich;
	const void *bytes;
	int32_t code;
	size_t size;

	if (call->ops->server)
		return NULL;
	if (rich != NULL || farcall_call_code(call) == FARCALL_OK) /* or it is under way */
		return rich;
	rich = rich_of(call);
	bytes = farcall_metadata_get_bin(&call->trailers, FC_RICH_KEY, &size);
	if (rich == NULL || bytes == NULL)
		return rich;
	if (!fc_rich_read((const uint8_t *)bytes, size, &call->kept, &code, rich) ||
	    code != (int32_t)call->code) {
		fc_log(FARCALL_LOG_WARNING, "%s: the details of its status are %s, ignored",
		    call->method->path, rich->n != 0 ? "of another code" : "no google.rpc.Status");
		rich->n = 0;
	}
	return rich;
}

bool
farcall_call_detail(
    farcall_call *call, size_t i, const char **type_url, const void **value, size_t *size)
{
	const fc_rich *rich = call != NULL ? received(call) : NULL;

	if (rich == NULL || i >= rich->n)
		return false;
	if (type_url != NULL)
		*type_url = rich->details[i].type_url;
	if (value != NULL)
		*value = rich->details[i].value;
	if (size != NULL)
		*size = rich->details[i].size;
	return true;
}

static bool
is_of(const char *type_url, const char *name)
{
	const char *slash = strrchr(type_url, '/');

	return strcmp(slash != NULL ? slash + 1 : type_url, name) == 0;
}

const ProtobufCMessage *
farcall_call_find_detail(farcall_call *call, const ProtobufCMessageDescriptor *type)
{
	const fc_rich *rich = call != NULL ? received(call) : NULL;
	ProtobufCMessage *message = NULL;
	fc_error error;

	if (type == NULL || type->name == NULL)
		return NULL;
	for (size_t i = 0; rich != NULL && i < rich->n; i++) {
		const fc_rich_detail *detail = &rich->details[i];

		if (!is_of(detail->type_url, type->name))
			continue;
		fc_error_clear(&error);
		if (fc_unpack(type, detail->value, detail->size, &fc_guard_defaults, &call->kept,
		        &message, &error) == FARCALL_OK)
			return message;
		fc_log(FARCALL_LOG_WARNING, "%s: a detail of its status: %s", call->method->path,
		    error.text);
		return NULL;
	}
	return NULL;
}

void
farcall_call_copy_details(farcall_call *call, farcall_call *failed)
{
	const char *type_url;
	const void *value;
	size_t size;

	for (size_t i = 0; farcall_call_detail(failed, i, &type_url, &value, &size); i++)
		farcall_call_add_detail_bytes(call, type_url, value, size);
}
