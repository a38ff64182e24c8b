/*
 * hpack_decode.c: header blocks to classified fields. A block that is known is answered from the
 * memo; else field by field. Nothing is copied that need not be: fields point into the tables, raw
 * literals into the block, Huffman-coded ones into the block's arena.
 *
 * A list that is too large is decoded to its end all the same, so the table stays in step, but
 * holds nothing back for the set any longer: memory is bounded by the table, max_list and 1.6 times
 * the block.
 */
#include "runtime/protocol/h2/hpack.h"

#include "runtime/base/arena.h"
#include "runtime/protocol/h2/hpack_table.h"
#include "runtime/protocol/h2/huffman.h"
#include "runtime/protocol/h2/memo.h"

#define RESIZES_MOST 2 /* RFC 7541 4.2: the smallest and the final size */

struct fc_hpack_decoder {
	fc_block block; /* this struct lies in it */
	fc_hpack_table table;
	fc_memo memo;
	fc_classifier classifier;
	size_t max_list;
	uint32_t number; /* of the block under way */
	fc_pool *pool;
	fc_arena arena; /* literals of the block under way */
	uint8_t lent[1024];
};

/* A block under way. */
typedef struct decoding {
	fc_hpack_decoder *decoder;
	fc_field_set *set;
	const uint8_t *at, *end;
	char *scratch; /* where the next Huffman-coded text goes; NULL: none yet */
	size_t room;   /* what is left of max_list; 0 once it was too little */
	unsigned fields, resizes;
	bool too_large;
	bool secret; /* a literal of it is never to be indexed */
} decoding;

/* A string as it stands in the block. */
typedef struct string {
	const uint8_t *at;
	size_t size;
	bool huffman;
} string;

/* A text, decoded. */
typedef struct text {
	const char *at;
	size_t size;
	unsigned kinds;
} text;

fc_hpack_decoder *
fc_hpack_decoder_new(fc_pool *pool, size_t max_list, const fc_classifier *classifier)
{
	fc_block *block = fc_pool_get(pool, sizeof(fc_hpack_decoder));
	fc_hpack_decoder *decoder = (fc_hpack_decoder *)(void *)block;

	if (block == NULL)
		return NULL;
	memset((char *)decoder + sizeof *block, 0, sizeof *decoder - sizeof *block);
	decoder->pool = pool;
	decoder->max_list = max_list;
	if (classifier != NULL)
		decoder->classifier = *classifier;
	fc_hpack_table_init(&decoder->table, pool, FC_HPACK_TABLE);
	/* No cap of its own: see at the top what bounds it. */
	fc_arena_init(&decoder->arena, pool, SIZE_MAX, decoder->lent, sizeof decoder->lent);
	return decoder;
}

void
fc_hpack_decoder_free(fc_hpack_decoder *decoder)
{
	if (decoder == NULL)
		return;
	fc_arena_reset(&decoder->arena);
	fc_memo_fini(&decoder->memo);
	fc_hpack_table_fini(&decoder->table);
	fc_pool_put(decoder->pool, &decoder->block);
}

/* RFC 7541 5.1; at most 5 bytes after the first, below 2^32. */
static bool
get_integer(decoding *now, uint32_t mask, uint32_t *value)
{
	uint64_t n = *now->at++ & mask;

	if (n == mask) {
		for (unsigned shift = 0;; shift += 7) {
			uint8_t byte;

			if (now->at == now->end || shift > 28)
				return false;
			byte = *now->at++;
			n += (uint64_t)(byte & 0x7f) << shift;
			if (n > UINT32_MAX)
				return false;
			if (byte < 0x80)
				break;
		}
	}
	*value = (uint32_t)n;
	return true;
}

static bool
get_string(decoding *now, string *found)
{
	uint32_t size;

	if (now->at == now->end)
		return false;
	found->huffman = *now->at >= 0x80;
	if (!get_integer(now, 0x7f, &size) || size > (size_t)(now->end - now->at))
		return false;
	found->at = now->at;
	found->size = size;
	now->at += size;
	return true;
}

static fc_hpack_verdict
unpack(decoding *now, const string *from, text *got)
{
	if (!from->huffman) {
		got->at = (const char *)from->at;
		got->size = from->size;
		return FC_HPACK_OK;
	}
	if (now->scratch == NULL) {
		/* Enough for this string and all that follow it. */
		size_t rest = (size_t)(now->end - from->at);

		now->scratch = (char *)fc_arena_alloc(&now->decoder->arena, FC_HUFFMAN_ROOM(rest));
		if (now->scratch == NULL)
			return FC_HPACK_NO_MEMORY;
	}
	if (!fc_huffman_decode(from->at, from->size, now->scratch, &got->size, &got->kinds))
		return FC_HPACK_ERROR;
	got->at = now->scratch;
	now->scratch += got->size;
	return FC_HPACK_OK;
}

static fc_hpack_verdict
unpack_name(decoding *now, const string *from, text *name)
{
	fc_hpack_verdict verdict = unpack(now, from, name);

	if (verdict == FC_HPACK_OK && !from->huffman)
		name->kinds = fc_field_name_kinds(name->at, name->size);
	return verdict;
}

static fc_hpack_verdict
unpack_value(decoding *now, const string *from, text *value)
{
	fc_hpack_verdict verdict = unpack(now, from, value);

	if (verdict == FC_HPACK_OK && !from->huffman)
		value->kinds = fc_field_value_kinds(value->at, value->size);
	return verdict;
}

/* Comes for each further field, too: there is no room for any. */
static void
overflow(decoding *now)
{
	now->too_large = true;
	now->room = 0;
	now->set->says = 0;
	now->set->n_metadata = 0;
	fc_hpack_table_settle(&now->decoder->table);
}

static inline void
add(decoding *now, const fc_field *field, size_t size)
{
	fc_field_set *set = now->set;
	uint32_t says = set->says;

	if (FARCALL_UNLIKELY(size > now->room || now->fields == FC_FIELDS_MOST)) {
		overflow(now);
		return;
	}
	now->room -= size;
	now->fields++;
	if (field->token == FC_TOKEN_OTHER)
		set->metadata[set->n_metadata++] = field;
	else if ((says & FC_SAYS(field->token)) == 0)
		set->known[field->token] = field;
	if ((says & field->refuses) != 0)
		says |= FC_SAYS_MALFORMED;
	set->says = says | field->says;
}

static inline fc_hpack_verdict
indexed(decoding *now)
{
	const fc_hpack_entry *entry;
	uint32_t index = *now->at & 0x7f;

	if (index != 0x7f)
		now->at++;
	else if (!get_integer(now, 0x7f, &index))
		return FC_HPACK_ERROR;
	entry = fc_hpack_table_at(&now->decoder->table, index);
	if (entry == NULL)
		return FC_HPACK_ERROR;
	add(now, &entry->field, entry->size);
	return FC_HPACK_OK;
}

/* RFC 7541 6.3: only at the start of a block. */
static fc_hpack_verdict
resize(decoding *now)
{
	uint32_t size;

	if (now->fields != 0 || now->too_large || now->resizes == RESIZES_MOST)
		return FC_HPACK_ERROR;
	if (!get_integer(now, 0x1f, &size) || size > FC_HPACK_TABLE)
		return FC_HPACK_ERROR;
	now->resizes++;
	fc_hpack_table_limit(&now->decoder->table, size);
	return FC_HPACK_OK;
}

static void
classify(decoding *now, fc_field *field, const fc_field *like, const text *name, const text *value)
{
	if (like != NULL) {
		field->token = like->token;
		field->flags |= like->flags & (FC_FIELD_BIN | FC_FIELD_BAD_NAME);
	} else {
		fc_field_classify_name(field, name->kinds);
	}
	fc_field_classify_value(&now->decoder->classifier, field, value->kinds);
}

/* `like`: the entry that gave the name; NULL: the name was written out. */
static fc_hpack_verdict
insert(decoding *now, const fc_field *like, const text *name, const text *value)
{
	fc_hpack_table *table = &now->decoder->table;
	bool stays = like != NULL && like->name != (const char *)like + sizeof(fc_hpack_entry);
	fc_hpack_entry *entry =
	    fc_hpack_table_make(table, name->at, name->size, stays, value->at, value->size);

	if (entry == NULL)
		return FC_HPACK_NO_MEMORY;
	classify(now, &entry->field, like, name, value);
	fc_hpack_table_insert(table, entry);
	add(now, &entry->field, entry->size);
	return FC_HPACK_OK;
}

/* A field that enters no table. */
static fc_field *
make_literal(decoding *now, const fc_field *like, const text *name, const text *value, bool never)
{
	fc_field *field = (fc_field *)fc_arena_alloc(&now->decoder->arena, sizeof *field);

	if (field == NULL)
		return NULL;
	memset(field, 0, sizeof *field);
	field->name = name->at;
	field->name_size = (uint32_t)name->size;
	field->value = value->at;
	field->value_size = (uint32_t)value->size;
	field->flags = (uint8_t)(FC_FIELD_LITERAL | (never ? FC_FIELD_NEVER_INDEXED : 0));
	classify(now, field, like, name, value);
	return field;
}

/* A literal's parts, found but not decoded. */
typedef struct literal {
	const uint8_t *start; /* of the representation, that ends where `now->at` is */
	const fc_field *like;
	bool dynamic; /* `like` is of the dynamic table */
	bool insert, never;
	string name, value;
} literal;

static fc_hpack_verdict
find_literal(decoding *now, literal *found)
{
	uint8_t first = *now->at;
	uint32_t index;

	found->start = now->at;
	found->insert = (first & 0x40) != 0;
	found->never = (first & 0xf0) == 0x10;
	found->like = NULL;
	found->dynamic = false;
	if (!get_integer(now, found->insert ? 0x3f : 0x0f, &index))
		return FC_HPACK_ERROR;
	if (index != 0) {
		const fc_hpack_entry *entry = fc_hpack_table_at(&now->decoder->table, index);

		if (entry == NULL)
			return FC_HPACK_ERROR;
		found->like = &entry->field;
		found->dynamic = index > FC_HPACK_STATIC;
	} else if (!get_string(now, &found->name)) {
		return FC_HPACK_ERROR;
	}
	return get_string(now, &found->value) ? FC_HPACK_OK : FC_HPACK_ERROR;
}

static fc_hpack_verdict
decode_literal(decoding *now, const literal *found, text *name, text *value)
{
	fc_hpack_verdict verdict = FC_HPACK_OK;

	if (found->like != NULL) {
		name->at = found->like->name;
		name->size = found->like->name_size;
		name->kinds = 0;
	} else {
		verdict = unpack_name(now, &found->name, name);
	}
	if (verdict == FC_HPACK_OK)
		verdict = unpack_value(now, &found->value, value);
	return verdict;
}

/* One that enters no table: by the memo if it may stand there. */
static fc_hpack_verdict
passing(decoding *now, const literal *found)
{
	fc_hpack_decoder *decoder = now->decoder;
	size_t key_size = (size_t)(now->at - found->start), size;
	bool may_keep = !found->never && !now->too_large;
	uint32_t hash = 0;
	text name, value;
	fc_field *field;
	fc_hpack_verdict verdict;

	if (may_keep) {
		const fc_memo_literal *kept;

		hash = fc_hpack_hash(found->start, key_size);
		kept = fc_memo_find_literal(&decoder->memo, hash, decoder->table.generation,
		    decoder->number, found->start, key_size);
		if (kept != NULL) {
			add(now, &kept->field, kept->size);
			return FC_HPACK_OK;
		}
	}
	verdict = decode_literal(now, found, &name, &value);
	if (verdict != FC_HPACK_OK || now->too_large)
		return verdict;
	now->secret |= found->never;
	field = make_literal(now, found->like, &name, &value, found->never);
	if (field == NULL)
		return FC_HPACK_NO_MEMORY;
	size = fc_hpack_size(name.size, value.size);
	add(now, field, size);
	/* A time-out changes from call to call, and is read quickly. */
	if (may_keep && field->token != FC_TOKEN_GRPC_TIMEOUT)
		fc_memo_keep_literal(&decoder->memo, hash,
		    found->dynamic ? decoder->table.generation : 0, decoder->number, found->start,
		    key_size, field, size);
	return FC_HPACK_OK;
}

static fc_hpack_verdict
inserting(decoding *now, const literal *found)
{
	fc_hpack_table *table = &now->decoder->table;
	text name, value;
	fc_hpack_verdict verdict = decode_literal(now, found, &name, &value);
	fc_field *field;

	if (verdict != FC_HPACK_OK)
		return verdict;
	if (fc_hpack_size(name.size, value.size) <= table->limit)
		return insert(now, found->like, &name, &value);
	/* RFC 7541 4.4: too large for the table, which it empties. */
	if (!now->too_large) {
		field = make_literal(now, found->like, &name, &value, false);
		if (field == NULL)
			return FC_HPACK_NO_MEMORY;
		add(now, field, fc_hpack_size(name.size, value.size));
	}
	fc_hpack_table_clear(table);
	return FC_HPACK_OK;
}

/* Any but an indexed one. */
static fc_hpack_verdict
one_field(decoding *now)
{
	uint8_t first = *now->at;
	literal found;
	fc_hpack_verdict verdict;

	if (first >= 0x20 && first < 0x40)
		return resize(now);
	verdict = find_literal(now, &found);
	if (verdict != FC_HPACK_OK)
		return verdict;
	return found.insert ? inserting(now, &found) : passing(now, &found);
}

/* Such a block will hardly come again. */
static bool
says_passing_timeout(const fc_field_set *set)
{
	return (set->says & FC_SAYS(FC_TOKEN_GRPC_TIMEOUT)) != 0 &&
	    (set->known[FC_TOKEN_GRPC_TIMEOUT]->flags & FC_FIELD_LITERAL) != 0;
}

fc_hpack_verdict
fc_hpack_decode(fc_hpack_decoder *decoder, const uint8_t *block, size_t size, fc_field_set *set)
{
	uint32_t hash = fc_hpack_hash(block, size), generation = decoder->table.generation;
	decoding now = {.decoder = decoder, .set = set, .at = block};
	fc_hpack_verdict verdict;

	if (fc_memo_find_block(&decoder->memo, hash, generation, block, size, set))
		return FC_HPACK_OK;
	now.end = size != 0 ? block + size : block; /* which may then be NULL */
	decoder->number++;
	fc_hpack_table_settle(&decoder->table);
	fc_arena_reset(&decoder->arena);
	set->says = 0;
	set->n_metadata = 0;
	now.room = decoder->max_list;
	while (now.at != now.end) {
		verdict = *now.at >= 0x80 ? indexed(&now) : one_field(&now);
		if (verdict != FC_HPACK_OK)
			return verdict;
	}
	if (now.too_large)
		return FC_HPACK_TOO_LARGE;
	set->list_size = decoder->max_list - now.room;
	if (decoder->table.generation == generation && size != 0 && !now.secret &&
	    !says_passing_timeout(set))
		fc_memo_keep_block(&decoder->memo, hash, generation, block, size, set);
	return FC_HPACK_OK;
}
