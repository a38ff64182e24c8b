/*
 * fields.c: what header fields mean. A name is looked up among those of its length; the token then
 * says how the value is read. Names that RFC 9113 8.2.2 forbids are in the same table, as
 * malformed.
 *
 * Values: RFC 9110 5.5 (visible characters, space, tab, and bytes above 0x7f). That is wider than
 * gRPC's own range, which asks receivers not to fail on it. Duplicates of request-smuggling fields
 * (host, content-length) are refused; of others the first one counts.
 */
#include "runtime/protocol/h2/fields.h"

#include "runtime/protocol/h2/huffman.h"

#include <stdbool.h>

#define REQUEST                                                                         \
	(FC_SAYS(FC_TOKEN_METHOD) | FC_SAYS(FC_TOKEN_SCHEME) | FC_SAYS(FC_TOKEN_PATH) | \
	    FC_SAYS(FC_TOKEN_AUTHORITY))
#define RESPONSE FC_SAYS(FC_TOKEN_STATUS)

static const uint32_t refuses[FC_TOKENS] = {
    [FC_TOKEN_METHOD] = FC_SAYS(FC_TOKEN_METHOD) | RESPONSE | FC_SAYS_REGULAR,
    [FC_TOKEN_SCHEME] = FC_SAYS(FC_TOKEN_SCHEME) | RESPONSE | FC_SAYS_REGULAR,
    [FC_TOKEN_PATH] = FC_SAYS(FC_TOKEN_PATH) | RESPONSE | FC_SAYS_REGULAR,
    [FC_TOKEN_AUTHORITY] = FC_SAYS(FC_TOKEN_AUTHORITY) | RESPONSE | FC_SAYS_REGULAR,
    [FC_TOKEN_STATUS] = RESPONSE | REQUEST | FC_SAYS_REGULAR,
    [FC_TOKEN_CONTENT_LENGTH] = FC_SAYS(FC_TOKEN_CONTENT_LENGTH),
    [FC_TOKEN_HOST] = FC_SAYS(FC_TOKEN_HOST),
};

typedef struct known_name {
	uint8_t size, token, flags;
	char text[26];
} known_name;

/* By length; rows of one length together. */
static const known_name names[] = {
    {2, FC_TOKEN_TE, 0, "te"},
    {4, FC_TOKEN_HOST, 0, "host"},
    {5, FC_TOKEN_PATH, 0, ":path"},
    {7, FC_TOKEN_METHOD, 0, ":method"},
    {7, FC_TOKEN_SCHEME, 0, ":scheme"},
    {7, FC_TOKEN_STATUS, 0, ":status"},
    {7, FC_TOKEN_OTHER, FC_FIELD_BAD_NAME, "upgrade"},
    {10, FC_TOKEN_AUTHORITY, 0, ":authority"},
    {10, FC_TOKEN_OTHER, FC_FIELD_BAD_NAME, "connection"},
    {10, FC_TOKEN_OTHER, FC_FIELD_BAD_NAME, "keep-alive"},
    {11, FC_TOKEN_GRPC_STATUS, 0, "grpc-status"},
    {12, FC_TOKEN_CONTENT_TYPE, 0, "content-type"},
    {12, FC_TOKEN_GRPC_MESSAGE, 0, "grpc-message"},
    {12, FC_TOKEN_GRPC_TIMEOUT, 0, "grpc-timeout"},
    {13, FC_TOKEN_GRPC_ENCODING, 0, "grpc-encoding"},
    {13, FC_TOKEN_OTHER, FC_FIELD_BIN, "grpc-tags-bin"},
    {14, FC_TOKEN_CONTENT_LENGTH, 0, "content-length"},
    {14, FC_TOKEN_OTHER, FC_FIELD_BIN, "grpc-trace-bin"},
    {16, FC_TOKEN_OTHER, FC_FIELD_BAD_NAME, "proxy-connection"},
    {17, FC_TOKEN_OTHER, FC_FIELD_BAD_NAME, "transfer-encoding"},
    {20, FC_TOKEN_GRPC_ACCEPT_ENCODING, 0, "grpc-accept-encoding"},
    {22, FC_TOKEN_OTHER, 0, "grpc-retry-pushback-ms"},
    {23, FC_TOKEN_OTHER, FC_FIELD_BIN, "grpc-status-details-bin"},
    {26, FC_TOKEN_OTHER, 0, "grpc-previous-rpc-attempts"},
};

/* Where the names of a length begin in `names`; those of length n end where n + 1 begins. */
static const uint8_t names_at[28] = {0, 0, 0, 1, 1, 2, 3, 3, 7, 7, 7, 10, 11, 14, 16, 18, 18, 19,
    20, 20, 20, 21, 21, 22, 23, 23, 23, 24};

enum { NAME = 1, VALUE = 2, PATH = 4, AUTHORITY = 8, SCHEME = 16, METHOD = 32 };

#define VISIBLE (VALUE | PATH | AUTHORITY)
#define LOWER (VISIBLE | NAME | METHOD | SCHEME)
#define UPPER (VISIBLE | METHOD | SCHEME)
#define TOKEN (VISIBLE | NAME | METHOD)
#define SIGN (TOKEN | SCHEME)
#define HIGH (VALUE | PATH)

#define ROW8(x) x, x, x, x, x, x, x, x

static const uint8_t allowed[256] = {
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    VALUE,
    0,
    0,
    0,
    0,
    0,
    0, /* tab */
    ROW8(0),
    ROW8(0), /* controls */
    VALUE,
    TOKEN,
    VISIBLE,
    TOKEN,
    TOKEN,
    TOKEN,
    TOKEN,
    TOKEN, /* sp ! " # $ % & ' */
    VISIBLE,
    VISIBLE,
    TOKEN,
    SIGN,
    VISIBLE,
    SIGN,
    SIGN,
    VISIBLE,     /* ( ) * + , - . / */
    ROW8(LOWER), /* 0-7 */
    LOWER,
    LOWER,
    VISIBLE,
    VISIBLE,
    VISIBLE,
    VISIBLE,
    VISIBLE,
    VISIBLE, /* 8 9 : ; < = > ? */
    VALUE | PATH,
    UPPER,
    UPPER,
    UPPER,
    UPPER,
    UPPER,
    UPPER,
    UPPER, /* @ A-G */
    ROW8(UPPER),
    ROW8(UPPER), /* H-W */
    UPPER,
    UPPER,
    UPPER,
    VISIBLE,
    VISIBLE,
    VISIBLE,
    TOKEN,
    TOKEN, /* X-Z [ \ ] ^ _ */
    TOKEN,
    LOWER,
    LOWER,
    LOWER,
    LOWER,
    LOWER,
    LOWER,
    LOWER, /* ` a-g */
    ROW8(LOWER),
    ROW8(LOWER), /* h-w */
    LOWER,
    LOWER,
    LOWER,
    VISIBLE,
    TOKEN,
    VISIBLE,
    TOKEN,
    0, /* x-z { | } ~ DEL */
    ROW8(HIGH),
    ROW8(HIGH),
    ROW8(HIGH),
    ROW8(HIGH),
    ROW8(HIGH),
    ROW8(HIGH),
    ROW8(HIGH),
    ROW8(HIGH),
    ROW8(HIGH),
    ROW8(HIGH),
    ROW8(HIGH),
    ROW8(HIGH),
    ROW8(HIGH),
    ROW8(HIGH),
    ROW8(HIGH),
    ROW8(HIGH),
};

static bool
all(const char *text, size_t size, unsigned kind)
{
	unsigned common = kind;

	for (size_t i = 0; i < size; i++)
		common &= allowed[(uint8_t)text[i]];
	return common != 0;
}

static bool
is(const char *text, size_t size, const char *word)
{
	return size == strlen(word) && memcmp(text, word, size) == 0;
}

/* The same, whatever the case; `word` in lower case. */
static bool
is_any_case(const char *text, size_t size, const char *word)
{
	for (size_t i = 0; i < size; i++) {
		char c = text[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c + ('a' - 'A'));
		if (word[i] == 0 || c != word[i])
			return false;
	}
	return word[size] == 0;
}

unsigned
fc_field_name_kinds(const char *name, size_t size)
{
	return all(name, size, NAME) ? 0 : FC_TEXT_NOT_NAME;
}

unsigned
fc_field_value_kinds(const char *value, size_t size)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
	uint64_t bad = 0, word;
	size_t i = 0;

	/* Eight at a time: any byte below 0x20, any byte equal to 0x7f. */
	for (; i + 8 <= size; i += 8) {
		memcpy(&word, value + i, 8);
		bad |= (word - ones * 0x20) & ~word;
		word ^= ones * 0x7f;
		bad |= (word - ones) & ~word;
	}
	if ((bad & tops) == 0)
		value += i, size -= i; /* else a tab, perhaps: once more from the start */
	return all(value, size, VALUE) ? 0 : FC_TEXT_NOT_VALUE;
}

/* Of at most 19 digits. */
static bool
read_digits(const char *text, size_t size, uint64_t *number)
{
	uint64_t n = 0;

	if (size == 0 || size > 19)
		return false;
	for (size_t i = 0; i < size; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		n = n * 10 + (uint64_t)(text[i] - '0');
	}
	*number = n;
	return true;
}

/* PROTOCOL-HTTP2, Timeout: at most eight digits and a unit. Beyond 584 years: never. */
static bool
read_timeout(const char *text, size_t size, uint64_t *ns)
{
	static const struct {
		char unit;
		uint64_t ns;
	} units[] = {{'n', 1}, {'u', 1000}, {'m', FC_NS_PER_MS}, {'S', FC_NS_PER_S},
	    {'M', 60 * FC_NS_PER_S}, {'H', 3600 * FC_NS_PER_S}};
	uint64_t count;

	if (size < 2 || size > 9 || !read_digits(text, size - 1, &count))
		return false;
	for (size_t i = 0; i < FC_COUNT(units); i++) {
		if (units[i].unit != text[size - 1])
			continue;
		*ns = count > FC_NEVER / units[i].ns ? FC_NEVER : count * units[i].ns;
		return true;
	}
	return false;
}

static uint64_t
read_codings(const char *text, size_t size)
{
	uint64_t codings = 0;

	while (size != 0) {
		const char *comma = (const char *)memchr(text, ',', size);
		size_t whole = comma != NULL ? (size_t)(comma - text) : size, n = whole;

		for (; n != 0 && (*text == ' ' || *text == '\t'); n--, whole--, size--)
			text++;
		while (n != 0 && (text[n - 1] == ' ' || text[n - 1] == '\t'))
			n--;
		if (is(text, n, "identity"))
			codings |= FC_CODING_IDENTITY;
		else if (is(text, n, "gzip"))
			codings |= FC_CODING_GZIP;
		else if (is(text, n, "deflate"))
			codings |= FC_CODING_DEFLATE;
		else if (n != 0)
			codings |= FC_CODING_OTHER;
		whole += whole < size; /* the comma */
		text += whole;
		size -= whole;
	}
	return codings;
}

/* "application/grpc", "application/grpc+proto", either with parameters; not "…grpcx", "…grpc-web",
 * nor a codec that is not ours. */
static bool
is_grpc_type(const char *text, size_t size)
{
	static const char type[] = "application/grpc", codec[] = "+proto";
	const size_t t = sizeof type - 1, c = sizeof codec - 1;

	if (size < t || !is_any_case(text, t, type))
		return false;
	text += t, size -= t;
	if (size >= c && is_any_case(text, c, codec))
		text += c, size -= c;
	return size == 0 || *text == ';' || *text == ' ' || *text == '\t';
}

static bool
is_path(const char *text, size_t size)
{
	return all(text, size, PATH) && (is(text, size, "*") || (size != 0 && *text == '/'));
}

static bool
is_scheme(const char *text, size_t size)
{
	return size != 0 && all(text, size, SCHEME) &&
	    ((*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z'));
}

/* false: malformed. */
static bool
read_pseudo(const fc_classifier *classifier, fc_field *field)
{
	const char *text = field->value;
	size_t size = field->value_size;

	switch (field->token) {
	case FC_TOKEN_METHOD:
		field->number = is(text, size, "POST");
		return size != 0 && all(text, size, METHOD);
	case FC_TOKEN_SCHEME:
		return is_scheme(text, size);
	case FC_TOKEN_PATH:
		if (!is_path(text, size))
			return false;
		if (classifier != NULL && classifier->lookup != NULL)
			field->method = classifier->lookup(classifier->owner, text, size);
		return true;
	case FC_TOKEN_AUTHORITY:
		return all(text, size, AUTHORITY);
	default: /* FC_TOKEN_STATUS */
		return size == 3 && read_digits(text, size, &field->number) && *text != '0';
	}
}

/* false: malformed. */
static bool
read_known(fc_field *field)
{
	const char *text = field->value;
	size_t size = field->value_size;
	bool read = true;

	switch (field->token) {
	case FC_TOKEN_TE:
		return is_any_case(text, size, "trailers");
	case FC_TOKEN_CONTENT_LENGTH:
		return read_digits(text, size, &field->number);
	case FC_TOKEN_CONTENT_TYPE:
		field->number = is_grpc_type(text, size);
		break;
	case FC_TOKEN_GRPC_TIMEOUT:
		read = read_timeout(text, size, &field->number);
		break;
	case FC_TOKEN_GRPC_STATUS:
		read = size <= 9 && read_digits(text, size, &field->number);
		break;
	case FC_TOKEN_GRPC_ENCODING:
	case FC_TOKEN_GRPC_ACCEPT_ENCODING:
		field->number = read_codings(text, size);
		break;
	default:
		break;
	}
	if (!read)
		field->flags |= FC_FIELD_BAD_VALUE;
	return true;
}

static void
strip(fc_field *field)
{
	const char *text = field->value;
	uint32_t size = field->value_size;

	while (size != 0 && (*text == ' ' || *text == '\t'))
		text++, size--;
	while (size != 0 && (text[size - 1] == ' ' || text[size - 1] == '\t'))
		size--;
	field->value = text;
	field->value_size = size;
}

void
fc_field_classify_name(fc_field *field, unsigned name_kinds)
{
	const char *name = field->name;
	size_t size = field->name_size;

	field->token = FC_TOKEN_OTHER;
	if (size + 1 < FC_COUNT(names_at)) {
		for (unsigned i = names_at[size]; i < names_at[size + 1]; i++) {
			if (memcmp(names[i].text, name, size) != 0)
				continue;
			field->token = names[i].token;
			field->flags |= names[i].flags;
			return;
		}
	}
	if (size == 0 || (name_kinds & FC_TEXT_NOT_NAME) != 0)
		field->flags |= FC_FIELD_BAD_NAME;
	else if (size >= 5 && memcmp(name, "grpc-", 5) == 0)
		field->token = FC_TOKEN_GRPC_RESERVED;
	if (size >= 4 && memcmp(name + size - 4, "-bin", 4) == 0)
		field->flags |= FC_FIELD_BIN;
}

void
fc_field_classify_value(const fc_classifier *classifier, fc_field *field, unsigned value_kinds)
{
	bool pseudo = field->name_size != 0 && field->name[0] == ':';
	bool ok = (field->flags & FC_FIELD_BAD_NAME) == 0 && (value_kinds & FC_TEXT_NOT_VALUE) == 0;

	field->says = FC_SAYS(field->token) | (pseudo ? FC_SAYS_PSEUDO : FC_SAYS_REGULAR);
	field->refuses = refuses[field->token];
	if (!pseudo)
		strip(field);
	if (ok && pseudo)
		ok = read_pseudo(classifier, field);
	else if (ok && field->token != FC_TOKEN_OTHER)
		ok = read_known(field);
	if (!ok) {
		field->says |= FC_SAYS_MALFORMED;
		field->flags |= FC_FIELD_BAD_VALUE;
	}
}

void
fc_field_classify(const fc_classifier *classifier, fc_field *field)
{
	fc_field_classify_name(field, fc_field_name_kinds(field->name, field->name_size));
	fc_field_classify_value(
	    classifier, field, fc_field_value_kinds(field->value, field->value_size));
}
