/*
 * hpack.h: RFC 7541, both ways. Decoding gives classified fields: what a field means was found
 * once, when it entered the dynamic table, so an indexed field costs a load and a mask test.
 *
 * A decoder must see every header block of its connection, in order, wanted or not; any verdict but
 * FC_HPACK_ERROR leaves it in step.
 */
#ifndef FC_PROTOCOL_H2_HPACK_H
#define FC_PROTOCOL_H2_HPACK_H

#include "runtime/base/buf.h"
#include "runtime/protocol/h2/fields.h"

#define FC_HPACK_TABLE \
	4096u /* bytes of the dynamic table, both ways (SETTINGS_HEADER_TABLE_SIZE) */

typedef struct fc_hpack_decoder fc_hpack_decoder;
typedef struct fc_hpack_encoder fc_hpack_encoder;

typedef enum fc_hpack_verdict {
	FC_HPACK_OK,
	FC_HPACK_TOO_LARGE, /* over max_list bytes or FC_FIELDS_MOST fields; decoder in step; set
	                       is empty */
	FC_HPACK_ERROR,     /* COMPRESSION_ERROR: the connection is lost */
	FC_HPACK_NO_MEMORY  /* likewise */
} fc_hpack_verdict;

/* The classifier (copied; may be NULL) is asked once for each path that enters the table, and for
 * literal ones until they are known; never for the static "/" and "/index.html". */
fc_hpack_decoder *fc_hpack_decoder_new(
    fc_pool *pool, size_t max_list, const fc_classifier *classifier);
void fc_hpack_decoder_free(fc_hpack_decoder *decoder);

/* One whole block. FC_HPACK_ERROR: the set holds the fields before the fault. The set points into
 * the decoder and into `block`: both until the next block. */
fc_hpack_verdict fc_hpack_decode(
    fc_hpack_decoder *decoder, const uint8_t *block, size_t size, fc_field_set *set);

fc_hpack_encoder *fc_hpack_encoder_new(fc_pool *pool);
void fc_hpack_encoder_free(fc_hpack_encoder *encoder);

/* The peer's SETTINGS_HEADER_TABLE_SIZE: takes effect, and is announced, in the next block. */
void fc_hpack_encoder_limit(fc_hpack_encoder *encoder, uint32_t table_size);

typedef enum fc_hpack_store {
	FC_HPACK_INDEX, /* insert into the table: for what will be said again, and is small */
	FC_HPACK_PLAIN, /* literal without indexing */
	FC_HPACK_NEVER  /* literal never indexed: secrets */
} fc_hpack_store;

/* Changes whenever a block that was encoded before may no longer be said again: while it stands,
 * bytes whose encoding did not change it may be repeated as they are. */
uint32_t fc_hpack_encoder_generation(const fc_hpack_encoder *encoder);

/* One field, appended to `to`; a block is a sequence of these. false: no room in `to`; the encoder
 * is then in step with what was appended so far (the field left no trace). */
bool fc_hpack_encode(fc_hpack_encoder *encoder, fc_buf *to, const char *name, size_t name_size,
    const char *value, size_t value_size, fc_hpack_store store);

#endif
