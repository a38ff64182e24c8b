/*
 * unpack_plain.c: the entry. A message of nothing but plain fields is done here, with no more state
 * than a few registers; any other is begun here and goes on in unpack.c.
 */
#include "runtime/call/unpack_plain.h"

#include "runtime/call/raw.h"

typedef ProtobufCFieldDescriptor field_type;
typedef ProtobufCMessageDescriptor message_type;

#define MiB (1024u * 1024u)

const fc_guard_limits fc_guard_defaults = {
    .depth = FC_MARSHAL_DEPTH, .elements = 4 * MiB, .memory = 64 * MiB};

/* Is a required field among those that did not come? */
static inline bool
lacks_required(const fc_plain *p)
{
	for (const field_type *field = p->field; field != p->last; field++) {
		if (field->label == PROTOBUF_C_LABEL_REQUIRED)
			return true;
	}
	return false;
}

farcall_code
fc_unpack(const message_type *type, const uint8_t *bytes, size_t size,
    const fc_guard_limits *limits, fc_arena *arena, ProtobufCMessage **message, fc_error *error)
{
	size_t own = FC_ROUNDED(type->sizeof_message), need = own + fc_plain_need(type, size);
	const uint8_t *at = bytes, *end = bytes + size;
	fc_plain p, done; /* done: a copy, so that p stays in registers */

	if (FARCALL_UNLIKELY(need > (size_t)(arena->end - arena->at) || need > limits->memory ||
	        type->n_fields >= limits->elements || limits->depth == 0 || type->n_fields == 0 ||
	        type->message_init == NULL)) {
		if (type == &farcall_bytes__descriptor)
			return fc_raw_unpack(bytes, size, limits, arena, message, error);
		done.memory = NULL;
		return fc_unpack_rest(type, bytes, end, limits, arena, message, error, &done, at);
	}
	p.memory = arena->at + own;
	type->message_init((ProtobufCMessage *)(void *)arena->at);
	p.field = type->fields;
	p.last = type->fields + type->n_fields;
	p.n = 0;
	at = fc_plain_run(&p, arena->at, at, end);
	if (FARCALL_LIKELY(at == end) && FARCALL_LIKELY(!lacks_required(&p))) {
		*message = (ProtobufCMessage *)(void *)arena->at;
		arena->at = p.memory;
		return FARCALL_OK;
	}
	done.field = p.field;
	done.memory = p.memory;
	return fc_unpack_rest(type, bytes, end, limits, arena, message, error, &done, at);
}
