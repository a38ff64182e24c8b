/*
 * What header fields mean and which are malformed: rows of name, value and verdict; then sets of
 * them by their masks.
 */
#include "tests/support/test.h"

#include "runtime/base/bytes.h"
#include "runtime/protocol/h2/fields.h"

enum { GOOD, BAD, ODD }; /* ODD: well-formed, but FC_FIELD_BAD_VALUE */

static int methods[1];

static const void *
lookup(void *owner, const char *path, size_t size)
{
	(void)owner;
	return size == 5 && memcmp(path, "/a.B/", 5) == 0 ? methods : NULL;
}

static const fc_classifier classifier = {lookup, NULL};

static fc_field
field_of(const char *name, size_t name_size, const char *value, size_t value_size)
{
	fc_field field = {.name = name, .value = value};

	field.name_size = (uint32_t)name_size;
	field.value_size = (uint32_t)value_size;
	fc_field_classify(&classifier, &field);
	return field;
}

static int
verdict_of(const fc_field *field)
{
	if ((field->says & FC_SAYS_MALFORMED) != 0)
		return BAD;
	return (field->flags & FC_FIELD_BAD_VALUE) != 0 ? ODD : GOOD;
}

typedef struct row {
	const char *name, *value;
	int token;
	int verdict;
	uint64_t number;
} row;

static const row rows[] = {
    /* Names: lower-case tokens */
    {"x", "", FC_TOKEN_OTHER, GOOD, 0},
    {"", "v", FC_TOKEN_OTHER, BAD, 0},
    {"X", "v", FC_TOKEN_OTHER, BAD, 0},
    {"xY", "v", FC_TOKEN_OTHER, BAD, 0},
    {"Content-Type", "application/grpc", FC_TOKEN_OTHER, BAD, 0},
    {"a b", "v", FC_TOKEN_OTHER, BAD, 0},
    {"a:b", "v", FC_TOKEN_OTHER, BAD, 0},
    {"a(b", "v", FC_TOKEN_OTHER, BAD, 0},
    {"a\x7f", "v", FC_TOKEN_OTHER, BAD, 0},
    {"a\x80", "v", FC_TOKEN_OTHER, BAD, 0},
    {"!#$%&'*+-.^_`|~09az", "v", FC_TOKEN_OTHER, GOOD, 0},
    {"user-agent", "grpc-c/1.0", FC_TOKEN_OTHER, GOOD, 0},
    /* Values */
    {"x", "a b\tc", FC_TOKEN_OTHER, GOOD, 0},
    {"x", "a\nb", FC_TOKEN_OTHER, BAD, 0},
    {"x", "a\rb", FC_TOKEN_OTHER, BAD, 0},
    {"x", "0123456789\x1f", FC_TOKEN_OTHER, BAD, 0},
    {"x", "0123456789 \x7f 0123456789", FC_TOKEN_OTHER, BAD, 0},
    {"x", "\x80\xff~!", FC_TOKEN_OTHER, GOOD, 0},
    {"x", "\t01234567 tab", FC_TOKEN_OTHER, GOOD, 0},
    {"host", "a\nb", FC_TOKEN_HOST, BAD, 0},
    /* Connection-specific */
    {"connection", "close", FC_TOKEN_OTHER, BAD, 0},
    {"keep-alive", "1", FC_TOKEN_OTHER, BAD, 0},
    {"proxy-connection", "1", FC_TOKEN_OTHER, BAD, 0},
    {"transfer-encoding", "chunked", FC_TOKEN_OTHER, BAD, 0},
    {"upgrade", "h2c", FC_TOKEN_OTHER, BAD, 0},
    {"upgrades", "h2c", FC_TOKEN_OTHER, GOOD, 0},
    {"te", "trailers", FC_TOKEN_TE, GOOD, 0},
    {"te", "Trailers", FC_TOKEN_TE, GOOD, 0},
    {"te", "trailers, deflate", FC_TOKEN_TE, BAD, 0},
    {"te", "trailer", FC_TOKEN_TE, BAD, 0},
    {"te", "", FC_TOKEN_TE, BAD, 0},
    /* Pseudo-headers */
    {":method", "POST", FC_TOKEN_METHOD, GOOD, 1},
    {":method", "GET", FC_TOKEN_METHOD, GOOD, 0},
    {":method", "post", FC_TOKEN_METHOD, GOOD, 0},
    {":method", "", FC_TOKEN_METHOD, BAD, 0},
    {":method", "PO ST", FC_TOKEN_METHOD, BAD, 0},
    {":method", "POST ", FC_TOKEN_METHOD, BAD, 0},
    {":scheme", "http", FC_TOKEN_SCHEME, GOOD, 0},
    {":scheme", "", FC_TOKEN_SCHEME, BAD, 0},
    {":scheme", "1a", FC_TOKEN_SCHEME, BAD, 0},
    {":scheme", "a_b", FC_TOKEN_SCHEME, BAD, 0},
    {":scheme", "a+b-c.9", FC_TOKEN_SCHEME, GOOD, 0},
    {":path", "/", FC_TOKEN_PATH, GOOD, 0},
    {":path", "*", FC_TOKEN_PATH, GOOD, 0},
    {":path", "**", FC_TOKEN_PATH, BAD, 0},
    {":path", "", FC_TOKEN_PATH, BAD, 0},
    {":path", "a/b", FC_TOKEN_PATH, BAD, 0},
    {":path", "/a b", FC_TOKEN_PATH, BAD, 0},
    {":path", "/\xc3\xa4", FC_TOKEN_PATH, GOOD, 0},
    {":authority", "", FC_TOKEN_AUTHORITY, GOOD, 0},
    {":authority", "[::1]:80", FC_TOKEN_AUTHORITY, GOOD, 0},
    {":authority", "user@host", FC_TOKEN_AUTHORITY, BAD, 0},
    {":authority", "a b", FC_TOKEN_AUTHORITY, BAD, 0},
    {":authority", " a", FC_TOKEN_AUTHORITY, BAD, 0},
    {":status", "200", FC_TOKEN_STATUS, GOOD, 200},
    {":status", "100", FC_TOKEN_STATUS, GOOD, 100},
    {":status", "999", FC_TOKEN_STATUS, GOOD, 999},
    {":status", "099", FC_TOKEN_STATUS, BAD, 99},
    {":status", "20", FC_TOKEN_STATUS, BAD, 0},
    {":status", "2000", FC_TOKEN_STATUS, BAD, 0},
    {":status", "2x0", FC_TOKEN_STATUS, BAD, 0},
    {":protocol", "websocket", FC_TOKEN_OTHER, BAD, 0},
    {":", "", FC_TOKEN_OTHER, BAD, 0},
    {":Path", "/", FC_TOKEN_OTHER, BAD, 0},
    /* content-length */
    {"content-length", "0", FC_TOKEN_CONTENT_LENGTH, GOOD, 0},
    {"content-length", "9999999999999999999", FC_TOKEN_CONTENT_LENGTH, GOOD,
        UINT64_C(9999999999999999999)},
    {"content-length", "10000000000000000000", FC_TOKEN_CONTENT_LENGTH, BAD, 0},
    {"content-length", "", FC_TOKEN_CONTENT_LENGTH, BAD, 0},
    {"content-length", "-1", FC_TOKEN_CONTENT_LENGTH, BAD, 0},
    {"content-length", "1,1", FC_TOKEN_CONTENT_LENGTH, BAD, 0},
    /* content-type */
    {"content-type", "application/grpc", FC_TOKEN_CONTENT_TYPE, GOOD, 1},
    {"content-type", "Application/GRPC", FC_TOKEN_CONTENT_TYPE, GOOD, 1},
    {"content-type", "application/grpc+proto", FC_TOKEN_CONTENT_TYPE, GOOD, 1},
    {"content-type", "application/grpc;charset=utf-8", FC_TOKEN_CONTENT_TYPE, GOOD, 1},
    {"content-type", "application/grpc+proto ; a=b", FC_TOKEN_CONTENT_TYPE, GOOD, 1},
    {"content-type", "application/grpc+json", FC_TOKEN_CONTENT_TYPE, GOOD, 0},
    {"content-type", "application/grpc+proto2", FC_TOKEN_CONTENT_TYPE, GOOD, 0},
    {"content-type", "application/grpc+", FC_TOKEN_CONTENT_TYPE, GOOD, 0},
    {"content-type", "application/grpcx", FC_TOKEN_CONTENT_TYPE, GOOD, 0},
    {"content-type", "application/grpc-web", FC_TOKEN_CONTENT_TYPE, GOOD, 0},
    {"content-type", "application/grpc-web+proto", FC_TOKEN_CONTENT_TYPE, GOOD, 0},
    {"content-type", "application/grp", FC_TOKEN_CONTENT_TYPE, GOOD, 0},
    {"content-type", "", FC_TOKEN_CONTENT_TYPE, GOOD, 0},
    /* grpc-timeout */
    {"grpc-timeout", "1n", FC_TOKEN_GRPC_TIMEOUT, GOOD, 1},
    {"grpc-timeout", "1u", FC_TOKEN_GRPC_TIMEOUT, GOOD, 1000},
    {"grpc-timeout", "1m", FC_TOKEN_GRPC_TIMEOUT, GOOD, FC_NS_PER_MS},
    {"grpc-timeout", "00000002S", FC_TOKEN_GRPC_TIMEOUT, GOOD, 2 * FC_NS_PER_S},
    {"grpc-timeout", "1M", FC_TOKEN_GRPC_TIMEOUT, GOOD, 60 * FC_NS_PER_S},
    {"grpc-timeout", "1H", FC_TOKEN_GRPC_TIMEOUT, GOOD, 3600 * FC_NS_PER_S},
    {"grpc-timeout", "0S", FC_TOKEN_GRPC_TIMEOUT, GOOD, 0},
    {"grpc-timeout", "5124095H", FC_TOKEN_GRPC_TIMEOUT, GOOD,
        UINT64_C(5124095) * 3600 * FC_NS_PER_S},
    {"grpc-timeout", "5124096H", FC_TOKEN_GRPC_TIMEOUT, GOOD, FC_NEVER},
    {"grpc-timeout", "99999999H", FC_TOKEN_GRPC_TIMEOUT, GOOD, FC_NEVER},
    {"grpc-timeout", "100000000n", FC_TOKEN_GRPC_TIMEOUT, ODD, 0},
    {"grpc-timeout", "99999999n", FC_TOKEN_GRPC_TIMEOUT, GOOD, 99999999},
    {"grpc-timeout", "S", FC_TOKEN_GRPC_TIMEOUT, ODD, 0},
    {"grpc-timeout", "", FC_TOKEN_GRPC_TIMEOUT, ODD, 0},
    {"grpc-timeout", "1", FC_TOKEN_GRPC_TIMEOUT, ODD, 0},
    {"grpc-timeout", "1s", FC_TOKEN_GRPC_TIMEOUT, ODD, 0},
    {"grpc-timeout", "-1S", FC_TOKEN_GRPC_TIMEOUT, ODD, 0},
    {"grpc-timeout", "1 S", FC_TOKEN_GRPC_TIMEOUT, ODD, 0},
    /* grpc-status, grpc-message */
    {"grpc-status", "0", FC_TOKEN_GRPC_STATUS, GOOD, 0},
    {"grpc-status", "16", FC_TOKEN_GRPC_STATUS, GOOD, 16},
    {"grpc-status", "999999999", FC_TOKEN_GRPC_STATUS, GOOD, 999999999},
    {"grpc-status", "1000000000", FC_TOKEN_GRPC_STATUS, ODD, 0},
    {"grpc-status", "", FC_TOKEN_GRPC_STATUS, ODD, 0},
    {"grpc-status", "x", FC_TOKEN_GRPC_STATUS, ODD, 0},
    {"grpc-status", "-1", FC_TOKEN_GRPC_STATUS, ODD, 0},
    {"grpc-message", "a%20b", FC_TOKEN_GRPC_MESSAGE, GOOD, 0},
    /* codings */
    {"grpc-encoding", "identity", FC_TOKEN_GRPC_ENCODING, GOOD, FC_CODING_IDENTITY},
    {"grpc-encoding", "gzip", FC_TOKEN_GRPC_ENCODING, GOOD, FC_CODING_GZIP},
    {"grpc-encoding", "deflate", FC_TOKEN_GRPC_ENCODING, GOOD, FC_CODING_DEFLATE},
    {"grpc-encoding", "snappy", FC_TOKEN_GRPC_ENCODING, GOOD, FC_CODING_OTHER},
    {"grpc-encoding", "", FC_TOKEN_GRPC_ENCODING, GOOD, 0},
    {"grpc-accept-encoding", "identity,deflate, gzip", FC_TOKEN_GRPC_ACCEPT_ENCODING, GOOD, 7},
    {"grpc-accept-encoding", " gzip\t, zstd ,,", FC_TOKEN_GRPC_ACCEPT_ENCODING, GOOD,
        FC_CODING_GZIP | FC_CODING_OTHER},
    {"grpc-accept-encoding", ",", FC_TOKEN_GRPC_ACCEPT_ENCODING, GOOD, 0},
    /* grpc-… */
    {"grpc-", "x", FC_TOKEN_GRPC_RESERVED, GOOD, 0},
    {"grpc-anything", "x", FC_TOKEN_GRPC_RESERVED, GOOD, 0},
    {"grpc", "x", FC_TOKEN_OTHER, GOOD, 0},
    {"grpc-Upper", "x", FC_TOKEN_OTHER, BAD, 0},
    {"grpc-status-details-bin", "x", FC_TOKEN_OTHER, GOOD, 0},
    {"grpc-trace-bin", "x", FC_TOKEN_OTHER, GOOD, 0},
    {"grpc-tags-bin", "x", FC_TOKEN_OTHER, GOOD, 0},
    {"grpc-retry-pushback-ms", "x", FC_TOKEN_OTHER, GOOD, 0},
    {"grpc-previous-rpc-attempts", "x", FC_TOKEN_OTHER, GOOD, 0},
};

static void
rows_have_their_verdicts(void **state)
{
	(void)state;
	for (size_t i = 0; i < FC_COUNT(rows); i++) {
		const row *r = &rows[i];
		fc_field field = field_of(r->name, strlen(r->name), r->value, strlen(r->value));

		if (field.token != r->token || verdict_of(&field) != r->verdict ||
		    (r->verdict == GOOD && field.number != r->number))
			fail_msg("row %zu (%s: %s): token %d, verdict %d, number %llu", i, r->name,
			    r->value, field.token, verdict_of(&field),
			    (unsigned long long)field.number);
		assert_int_equal((field.says & FC_SAYS_PSEUDO) != 0, r->name[0] == ':');
		assert_int_equal((field.says & FC_SAYS_REGULAR) != 0, r->name[0] != ':');
		assert_true((field.says & FC_SAYS(r->token)) != 0);
	}
}

static void
all_bytes_are_judged(void **state)
{
	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		/* Every place of a word and behind it. */
		for (size_t at = 1; at < 20; at++) {
			char text[21] = "aaaaaaaaaaaaaaaaaaaa";
			bool control = (c < 0x20 && c != '\t') || c == 0x7f;
			bool name = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			    (c != 0 && strchr("!#$%&'*+-.^_`|~", (int)c) != NULL);
			fc_field field;

			text[at] = (char)c;
			field = field_of("x", 1, text, 21 - 1);
			assert_int_equal(verdict_of(&field), control ? BAD : GOOD);
			field = field_of(text, 20, "", 0);
			assert_int_equal(verdict_of(&field), name ? GOOD : BAD);
		}
	}
}

static void
white_space_around_values_goes(void **state)
{
	fc_field field = field_of("x", 1, " \t a b\t ", 8);

	(void)state;
	assert_int_equal(verdict_of(&field), GOOD);
	assert_int_equal(field.value_size, 3);
	assert_memory_equal(field.value, "a b", 3);
	field = field_of("x", 1, " \t ", 3);
	assert_int_equal(field.value_size, 0);
	field = field_of("grpc-status", 11, " 7 ", 3);
	assert_int_equal(verdict_of(&field), GOOD);
	assert_int_equal(field.number, 7);
}

static void
paths_are_looked_up(void **state)
{
	fc_field field = field_of(":path", 5, "/a.B/", 5);

	(void)state;
	assert_ptr_equal(field.method, methods);
	field = field_of(":path", 5, "/a.B/c", 6);
	assert_null(field.method);
	memset(&field, 0, sizeof field);
	field.name = ":path", field.name_size = 5;
	field.value = "/a.B/", field.value_size = 5;
	fc_field_classify(&(fc_classifier){NULL, NULL}, &field);
	assert_null(field.method);
	assert_int_equal(verdict_of(&field), GOOD);
}

static void
binary_names_are_marked(void **state)
{
	static const struct {
		const char *name;
		int flags;
	} names[] = {{"a-bin", FC_FIELD_BIN}, {"-bin", FC_FIELD_BIN}, {"bin", 0}, {"a-bind", 0},
	    {"grpc-status-details-bin", FC_FIELD_BIN}, {"grpc-trace-bin", FC_FIELD_BIN}};

	(void)state;
	for (size_t i = 0; i < FC_COUNT(names); i++) {
		fc_field field = field_of(names[i].name, strlen(names[i].name), "AA", 2);

		assert_int_equal(field.flags, names[i].flags);
	}
}

/* What a list says, as the decoder puts it together. */
static uint32_t
says(const char *const *pairs)
{
	uint32_t all = 0;

	for (; pairs[0] != NULL; pairs += 2) {
		fc_field field = field_of(pairs[0], strlen(pairs[0]), pairs[1], strlen(pairs[1]));

		if ((all & field.refuses) != 0)
			all |= FC_SAYS_MALFORMED;
		all |= field.says;
	}
	return all;
}

#define LIST(...) says((const char *const[]){__VA_ARGS__, NULL})
#define IS_BAD(list) assert_true(((list)&FC_SAYS_MALFORMED) != 0)
#define IS_GOOD(list) assert_true(((list)&FC_SAYS_MALFORMED) == 0)

static void
order_and_duplicates(void **state)
{
	const uint32_t request =
	    FC_SAYS(FC_TOKEN_METHOD) | FC_SAYS(FC_TOKEN_SCHEME) | FC_SAYS(FC_TOKEN_PATH);

	(void)state;
	IS_GOOD(LIST(":method", "POST", ":path", "/", ":scheme", "http", ":authority", "a", "te",
	    "trailers", "x", "1", "x", "2", "cookie", "a", "cookie", "b"));
	assert_int_equal(
	    LIST(":method", "POST", ":path", "/", ":scheme", "http") & request, request);
	assert_int_not_equal(LIST(":method", "POST", ":path", "/") & request, request);
	IS_BAD(LIST(":method", "POST", ":method", "POST"));
	IS_BAD(LIST(":path", "/", ":path", "/"));
	IS_BAD(LIST(":scheme", "http", ":scheme", "http"));
	IS_BAD(LIST(":authority", "a", ":authority", "a"));
	IS_BAD(LIST(":status", "200", ":status", "200"));
	IS_BAD(LIST("x", "1", ":path", "/"));
	IS_BAD(LIST("te", "trailers", ":status", "200"));
	IS_BAD(LIST(":status", "200", ":path", "/"));
	IS_BAD(LIST(":path", "/", ":status", "200"));
	IS_BAD(LIST("host", "a", "host", "a"));
	IS_BAD(LIST("content-length", "1", "content-length", "1"));
	IS_GOOD(LIST("grpc-accept-encoding", "gzip", "grpc-accept-encoding", "identity"));
	assert_true((LIST("x", "1") & FC_SAYS_PSEUDO) == 0); /* fit for trailers */
	assert_true((LIST(":status", "200", "x", "1") & FC_SAYS_PSEUDO) != 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(rows_have_their_verdicts),
	    clean_test(all_bytes_are_judged),
	    clean_test(white_space_around_values_goes),
	    clean_test(paths_are_looked_up),
	    clean_test(binary_names_are_marked),
	    clean_test(order_and_duplicates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
