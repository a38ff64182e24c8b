/*
 * wire.c: see wire.h. Varints of one byte are read in the header; here are the longer ones, and
 * what is left to say of types.
 */
#include "runtime/call/wire.h"

#include <limits.h>

const fc_wire_rule fc_wire_rules[] = {
    [PROTOBUF_C_TYPE_INT32] = {FC_WIRE_VARINT, 4, true},
    [PROTOBUF_C_TYPE_SINT32] = {FC_WIRE_VARINT, 4, true},
    [PROTOBUF_C_TYPE_SFIXED32] = {FC_WIRE_FIXED32, 4, true},
    [PROTOBUF_C_TYPE_INT64] = {FC_WIRE_VARINT, 8, true},
    [PROTOBUF_C_TYPE_SINT64] = {FC_WIRE_VARINT, 8, true},
    [PROTOBUF_C_TYPE_SFIXED64] = {FC_WIRE_FIXED64, 8, true},
    [PROTOBUF_C_TYPE_UINT32] = {FC_WIRE_VARINT, 4, true},
    [PROTOBUF_C_TYPE_FIXED32] = {FC_WIRE_FIXED32, 4, true},
    [PROTOBUF_C_TYPE_UINT64] = {FC_WIRE_VARINT, 8, true},
    [PROTOBUF_C_TYPE_FIXED64] = {FC_WIRE_FIXED64, 8, true},
    [PROTOBUF_C_TYPE_FLOAT] = {FC_WIRE_FIXED32, 4, true},
    [PROTOBUF_C_TYPE_DOUBLE] = {FC_WIRE_FIXED64, 8, true},
    [PROTOBUF_C_TYPE_BOOL] = {FC_WIRE_VARINT, sizeof(protobuf_c_boolean), true},
    [PROTOBUF_C_TYPE_ENUM] = {FC_WIRE_VARINT, 4, true},
    [PROTOBUF_C_TYPE_STRING] = {FC_WIRE_LENGTH, sizeof(char *), false},
    [PROTOBUF_C_TYPE_BYTES] = {FC_WIRE_LENGTH, sizeof(ProtobufCBinaryData), false},
    [PROTOBUF_C_TYPE_MESSAGE] = {FC_WIRE_LENGTH, sizeof(ProtobufCMessage *), false},
};

static const uint8_t *
read_varint(const uint8_t *at, const uint8_t *end, size_t most, uint64_t *value)
{
	uint64_t v = 0;

	most = FC_MIN((size_t)(end - at), most);
	for (size_t i = 0; i < most; i++) {
		v |= (uint64_t)(at[i] & 0x7f) << 7 * i;
		if (at[i] < 0x80) {
			*value = v;
			return at + i + 1;
		}
	}
	return NULL;
}

const uint8_t *
fc_wire_long_varint(const uint8_t *at, const uint8_t *end, uint64_t *value)
{
	return read_varint(at, end, FC_WIRE_MAX_VARINT, value);
}

const uint8_t *
fc_wire_long_key(const uint8_t *at, const uint8_t *end, uint32_t *key)
{
	uint64_t value = 0;

	at = read_varint(at, end, FC_WIRE_MAX_KEY, &value);
	if (at == NULL || value < 8 || value > UINT32_MAX)
		return NULL;
	*key = (uint32_t)value;
	return at;
}

const uint8_t *
fc_wire_long_length(const uint8_t *at, const uint8_t *end, size_t *size)
{
	uint64_t value = 0;

	at = read_varint(at, end, FC_WIRE_MAX_KEY, &value);
	if (at == NULL || value > (size_t)(end - at) || value > INT_MAX)
		return NULL;
	*size = (size_t)value;
	return at;
}

const uint8_t *
fc_wire_pass(const uint8_t *at, const uint8_t *end, unsigned wire)
{
	uint64_t value;
	size_t size;

	switch (wire) {
	case FC_WIRE_VARINT:
		return fc_wire_varint(at, end, &value);
	case FC_WIRE_FIXED64:
		return end - at >= 8 ? at + 8 : NULL;
	case FC_WIRE_FIXED32:
		return end - at >= 4 ? at + 4 : NULL;
	case FC_WIRE_LENGTH:
		at = fc_wire_length(at, end, &size);
		return at != NULL ? at + size : NULL;
	default:
		return NULL;
	}
}
