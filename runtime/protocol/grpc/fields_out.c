/*
 * fields_out.c: header blocks to be sent. All memory is taken before the first field is encoded: a
 * block that stopped half-way would leave the peer's HPACK table out of step.
 *
 * Metadata that no peer would take (bad names, control characters, names that belong to the
 * protocol) is left out: the call floor has refused it already; this is the last guard against
 * smuggling.
 */
#include "runtime/protocol/grpc/grpc.h"

#include "runtime/protocol/grpc/text.h"

#include "runtime/base/base64.h"

#define FIELD_MOST 40u /* what HPACK may need for a field beyond name and value */

size_t
fc_grpc_value_size(const fc_pair *pair)
{
	return (pair->flags & FC_PAIR_BINARY) != 0 ? fc_base64_size(pair->value_size)
	                                           : pair->value_size;
}

bool
fc_grpc_block_begin(fc_h2 *c, size_t n, const fc_pair *metadata, size_t message_size, size_t other)
{
	size_t bound = other + message_size + 8 * FIELD_MOST, text = message_size;

	for (size_t i = 0; i < n; i++) {
		size_t size = fc_grpc_value_size(&metadata[i]);

		bound += metadata[i].name_size + size + FIELD_MOST;
		text = FC_MAX(text, size);
	}
	c->scratch.from = c->scratch.to = 0;
	c->text.from = c->text.to = 0;
	return fc_buf_reserve(&c->scratch, bound) != NULL &&
	    (text == 0 || fc_buf_reserve(&c->text, text) != NULL) && fc_h2_room_for_block(c, bound);
}

static void
put(fc_h2 *c, fc_text name, fc_text value, fc_hpack_store store)
{
	if (!fc_hpack_encode(
	        c->encoder, &c->scratch, name.at, name.size, value.at, value.size, store))
		fc_h2_doom_memory(c);
}

void
fc_grpc_field_text(fc_h2 *c, const char *name, fc_text value, fc_hpack_store store)
{
	put(c, fc_text_of(name), value, store);
}

void
fc_grpc_field(fc_h2 *c, const char *name, const char *value, fc_hpack_store store)
{
	put(c, fc_text_of(name), fc_text_of(value), store);
}

void
fc_grpc_message(fc_h2 *c, fc_text message)
{
	fc_text value = {(const char *)c->text.data, 0};

	if (message.size == 0)
		return;
	value.size = fc_grpc_percent_encode((char *)c->text.data, message.at, message.size);
	fc_grpc_field_text(c, "grpc-message", value, FC_HPACK_PLAIN);
}

static bool
may_be_sent(const fc_pair *pair, fc_text value)
{
	fc_field field;

	memset(&field, 0, sizeof field);
	field.name = pair->name;
	field.name_size = pair->name_size;
	fc_field_classify_name(&field, fc_field_name_kinds(pair->name, pair->name_size));
	return field.token == FC_TOKEN_OTHER && (field.flags & FC_FIELD_BAD_NAME) == 0 &&
	    fc_field_value_kinds(value.at, value.size) == 0;
}

void
fc_grpc_metadata(fc_h2 *c, size_t n, const fc_pair *metadata)
{
	for (size_t i = 0; i < n; i++) {
		const fc_pair *pair = &metadata[i];
		fc_text name = {pair->name, pair->name_size};
		fc_text value = {pair->value, pair->value_size};

		if ((pair->flags & FC_PAIR_BINARY) != 0) {
			fc_base64_encode(
			    (char *)c->text.data, (const uint8_t *)pair->value, pair->value_size);
			value.at = (const char *)c->text.data;
			value.size = fc_base64_size(pair->value_size);
		}
		if (may_be_sent(pair, value))
			put(c, name, value,
			    (pair->flags & FC_PAIR_SENSITIVE) != 0 ? FC_HPACK_NEVER
			                                           : FC_HPACK_PLAIN);
	}
}

void
fc_grpc_block_end(fc_h2 *c, uint32_t id, bool end)
{
	const fc_buf *block = &c->scratch;

	if (!fc_h2_put_block(c, id, block->data + block->from, fc_buf_size(block), end))
		fc_h2_doom_memory(c);
	fc_grpc_templates_check(c);
}

void
fc_grpc_template_keep(fc_h2 *c, fc_h2_template *template, bool end)
{
	size_t size = fc_buf_size(&c->scratch);

	if (c->generation != fc_hpack_encoder_generation(c->encoder) ||
	    size > FC_H2_TEMPLATE - FC_H2_HEAD)
		return;
	fc_h2_put_head(template->bytes, (uint32_t)size, FC_H2_HEADERS,
	    FC_H2_END_HEADERS | (end ? FC_H2_END_STREAM : 0), 0);
	memcpy(template->bytes + FC_H2_HEAD, c->scratch.data + c->scratch.from, size);
	template->size = (uint8_t)(FC_H2_HEAD + size);
}

void
fc_grpc_templates_check(fc_h2 *c)
{
	uint32_t generation = fc_hpack_encoder_generation(c->encoder);

	if (generation == c->generation)
		return;
	c->generation = generation;
	c->head_template.size = c->tail_template.size = 0;
	for (int i = 0; c->paths != NULL && i < FC_H2_PATHS; i++)
		c->paths[i].head.size = 0;
}
