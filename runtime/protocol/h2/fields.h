/*
 * fields.h: header fields with their meaning. RFC 9113 section 8 (what is malformed) and gRPC's
 * PROTOCOL-HTTP2 (what the names say) in one table: a token, what the field says, and what must not
 * have been said before it.
 */
#ifndef FC_PROTOCOL_H2_FIELDS_H
#define FC_PROTOCOL_H2_FIELDS_H

#include "runtime/protocol/protocol.h"

/* Fields of one header list. Above FC_PAIRS_MOST of runtime/call/metadata.h by more than what the
 * protocol itself adds (a request: 10, trailers alone: 5), so that whatever a call may send a call
 * can receive. */
#define FC_FIELDS_MOST 144

typedef enum fc_token {
	FC_TOKEN_OTHER, /* metadata */
	FC_TOKEN_METHOD,
	FC_TOKEN_SCHEME,
	FC_TOKEN_PATH,
	FC_TOKEN_AUTHORITY,
	FC_TOKEN_STATUS,
	FC_TOKEN_TE,
	FC_TOKEN_CONTENT_TYPE,
	FC_TOKEN_CONTENT_LENGTH,
	FC_TOKEN_HOST,
	FC_TOKEN_GRPC_TIMEOUT,
	FC_TOKEN_GRPC_ENCODING,
	FC_TOKEN_GRPC_ACCEPT_ENCODING,
	FC_TOKEN_GRPC_STATUS,
	FC_TOKEN_GRPC_MESSAGE,
	FC_TOKEN_GRPC_RESERVED, /* another "grpc-…" that is not metadata (grpc-status-details-bin
	                           is) */
	FC_TOKENS
} fc_token;

/* Bits of `says`. The first FC_TOKENS bits are 1u << token. */
enum {
	FC_SAYS_REGULAR = 1u << 28,   /* a field that is no pseudo-header */
	FC_SAYS_MALFORMED = 1u << 29, /* RFC 9113 8.2 and 8.3: the message is malformed */
	FC_SAYS_PSEUDO = 1u << 30
};

#define FC_SAYS(token) (1u << (token))

enum {
	FC_FIELD_BIN = 1,           /* the name ends in "-bin" */
	FC_FIELD_NEVER_INDEXED = 2, /* the sender wants it in no table */
	FC_FIELD_BAD_VALUE = 4,
	FC_FIELD_BAD_NAME = 8, /* malformed whatever its value: not a name, connection-specific */
	FC_FIELD_LITERAL = 16  /* lives in no table: for the decoder */
};

typedef struct fc_field {
	const char *name, *value;
	uint32_t name_size, value_size;
	uint32_t says;    /* or-ed into the set */
	uint32_t refuses; /* malformed if the set has said any of these before */
	uint8_t token;
	uint8_t flags;
	const void *method; /* PATH: what lookup gave */
	uint64_t number;    /* STATUS, CONTENT_LENGTH, GRPC_STATUS; GRPC_TIMEOUT: nanoseconds;
	                     * METHOD: 1 if POST; CONTENT_TYPE: 1 if gRPC; *_ENCODING: fc_coding bits.
	                     * FC_FIELD_BAD_VALUE: it could not be read */
} fc_field;

/* How fields get their meaning. `lookup` may be NULL (clients). */
typedef struct fc_classifier {
	const void *(*lookup)(void *owner, const char *path, size_t size);
	void *owner;
} fc_classifier;

/* Gives `field` (name and value set, all else zero) its token, masks and meaning. Checks the
 * characters of name and value: a bad one is FC_SAYS_MALFORMED. White space around a value is taken
 * off, as gRPC peers do ("may be stripped"); around a pseudo-header's it is malformed. */
void fc_field_classify(const fc_classifier *classifier, fc_field *field);

/* The two halves of it, for when the name or the kinds of characters are known (huffman.h). The
 * first sets token and the name's flags, the second reads these. */
void fc_field_classify_name(fc_field *field, unsigned name_kinds);
void fc_field_classify_value(
    const fc_classifier *classifier, fc_field *field, unsigned value_kinds);

unsigned fc_field_name_kinds(const char *name, size_t size);
unsigned fc_field_value_kinds(const char *value, size_t size);

/* A decoded header list. Known fields by token (the first one), metadata in order. */
typedef struct fc_field_set {
	uint32_t says;
	const fc_field *known[FC_TOKENS]; /* valid where says has the token's bit */
	size_t list_size;                 /* RFC 9113 6.5.2 */
	size_t n_metadata;
	const fc_field *metadata[FC_FIELDS_MOST]; /* last: the memo keeps only what is used of it */
} fc_field_set;

#endif
