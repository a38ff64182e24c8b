/*
 * payload.c: the payload of bytes that are packed already; for that of a message see pack.c.
 */
#include "runtime/call/marshal.h"

static void
bytes_flat(const fc_payload *payload, uint8_t *to)
{
	const fc_text *bytes = (const fc_text *)payload->message;

	if (bytes->size != 0)
		memcpy(to, bytes->at, bytes->size);
}

static void
bytes_pour(const fc_payload *payload, fc_sink *sink)
{
	const fc_text *bytes = (const fc_text *)payload->message;

	if (bytes->size != 0)
		sink->add(sink, (const uint8_t *)bytes->at, bytes->size);
}

void
fc_payload_of_bytes(fc_payload *payload, const fc_text *bytes)
{
	payload->size = bytes->size;
	payload->flat = bytes_flat;
	payload->pour = bytes_pour;
	payload->message = bytes;
}
