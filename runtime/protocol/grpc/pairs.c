/*
 * pairs.c: a header list's metadata, as protocol.h shows it. The array lives in one block that is
 * kept until the end of the turn.
 */
#include "runtime/protocol/grpc/grpc.h"

bool
fc_grpc_pairs(fc_h2 *c, const fc_field_set *set, size_t *n, const fc_pair **pairs)
{
	const size_t head = (sizeof(fc_block) + 15) & ~(size_t)15;
	size_t size = head + set->n_metadata * sizeof(fc_pair);
	fc_pair *to;

	*n = set->n_metadata;
	*pairs = NULL;
	if (set->n_metadata == 0)
		return true;
	if (c->pairs == NULL || c->pairs->size < size) {
		fc_block *block = fc_pool_get(c->config.pool, size);

		if (block == NULL)
			return false;
		fc_pool_put(c->config.pool, c->pairs);
		c->pairs = block;
	}
	to = (fc_pair *)(void *)((uint8_t *)c->pairs + head);
	*pairs = to;
	for (size_t i = 0; i < set->n_metadata; i++, to++) {
		const fc_field *field = set->metadata[i];

		to->name = field->name;
		to->name_size = field->name_size;
		to->value = field->value;
		to->value_size = field->value_size;
		to->flags = ((field->flags & FC_FIELD_BIN) != 0 ? FC_PAIR_BASE64 : 0) |
		    ((field->flags & FC_FIELD_NEVER_INDEXED) != 0 ? FC_PAIR_SENSITIVE : 0);
	}
	return true;
}
