/*
 * hpack_static.c: the static table of RFC 7541, appendix A, as fc_field_classify() would give it (a
 * test compares), and the way from a name to its index.
 */
#include "runtime/protocol/h2/hpack_table.h"

#define REQUEST                                                                         \
	(FC_SAYS(FC_TOKEN_METHOD) | FC_SAYS(FC_TOKEN_SCHEME) | FC_SAYS(FC_TOKEN_PATH) | \
	    FC_SAYS(FC_TOKEN_AUTHORITY))
#define RESPONSE FC_SAYS(FC_TOKEN_STATUS)

#define ENTRY(name, value, token, says, refuses, flags, number)                                 \
	{                                                                                       \
		{name, value, sizeof name - 1, sizeof value - 1,                                \
		    FC_SAYS(FC_TOKEN_##token) | (says), refuses, FC_TOKEN_##token, flags, NULL, \
		    number},                                                                    \
		    sizeof name + sizeof value - 2 + FC_HPACK_OVERHEAD, 0                       \
	}
#define PSEUDO(name, value, token, number)        \
	ENTRY(name, value, token, FC_SAYS_PSEUDO, \
	    FC_SAYS(FC_TOKEN_##token) | RESPONSE | FC_SAYS_REGULAR, 0, number)
#define STATUS(value, number)                                                                    \
	ENTRY(":status", value, STATUS, FC_SAYS_PSEUDO, RESPONSE | REQUEST | FC_SAYS_REGULAR, 0, \
	    number)
#define OTHER(name, value) ENTRY(name, value, OTHER, FC_SAYS_REGULAR, 0, 0, 0)

/* clang-format off */
const fc_hpack_entry fc_hpack_static[FC_HPACK_STATIC] = {
    PSEUDO(":authority", "", AUTHORITY, 0),
    PSEUDO(":method", "GET", METHOD, 0),
    PSEUDO(":method", "POST", METHOD, 1),
    PSEUDO(":path", "/", PATH, 0),
    PSEUDO(":path", "/index.html", PATH, 0),
    PSEUDO(":scheme", "http", SCHEME, 0),
    PSEUDO(":scheme", "https", SCHEME, 0),
    STATUS("200", 200),
    STATUS("204", 204),
    STATUS("206", 206),
    STATUS("304", 304),
    STATUS("400", 400),
    STATUS("404", 404),
    STATUS("500", 500),
    OTHER("accept-charset", ""),
    OTHER("accept-encoding", "gzip, deflate"),
    OTHER("accept-language", ""),
    OTHER("accept-ranges", ""),
    OTHER("accept", ""),
    OTHER("access-control-allow-origin", ""),
    OTHER("age", ""),
    OTHER("allow", ""),
    OTHER("authorization", ""),
    OTHER("cache-control", ""),
    OTHER("content-disposition", ""),
    OTHER("content-encoding", ""),
    OTHER("content-language", ""),
    ENTRY("content-length", "", CONTENT_LENGTH, FC_SAYS_REGULAR | FC_SAYS_MALFORMED,
        FC_SAYS(FC_TOKEN_CONTENT_LENGTH), FC_FIELD_BAD_VALUE, 0),
    OTHER("content-location", ""),
    OTHER("content-range", ""),
    ENTRY("content-type", "", CONTENT_TYPE, FC_SAYS_REGULAR, 0, 0, 0),
    OTHER("cookie", ""),
    OTHER("date", ""),
    OTHER("etag", ""),
    OTHER("expect", ""),
    OTHER("expires", ""),
    OTHER("from", ""),
    ENTRY("host", "", HOST, FC_SAYS_REGULAR, FC_SAYS(FC_TOKEN_HOST), 0, 0),
    OTHER("if-match", ""),
    OTHER("if-modified-since", ""),
    OTHER("if-none-match", ""),
    OTHER("if-range", ""),
    OTHER("if-unmodified-since", ""),
    OTHER("last-modified", ""),
    OTHER("link", ""),
    OTHER("location", ""),
    OTHER("max-forwards", ""),
    OTHER("proxy-authenticate", ""),
    OTHER("proxy-authorization", ""),
    OTHER("range", ""),
    OTHER("referer", ""),
    OTHER("refresh", ""),
    OTHER("retry-after", ""),
    OTHER("server", ""),
    OTHER("set-cookie", ""),
    OTHER("strict-transport-security", ""),
    ENTRY("transfer-encoding", "", OTHER, FC_SAYS_REGULAR | FC_SAYS_MALFORMED, 0,
        FC_FIELD_BAD_NAME | FC_FIELD_BAD_VALUE, 0),
    OTHER("user-agent", ""),
    OTHER("vary", ""),
    OTHER("via", ""),
    OTHER("www-authenticate", ""),
};
/* clang-format on */

/* First indices of all names, by the name's length, and where each length begins. */
static const uint8_t order[] = {21, 60, 33, 34, 37, 38, 45, 59, 4, 22, 50, 19, 32, 35, 54, 2, 6, 8,
    36, 51, 52, 39, 42, 46, 1, 55, 58, 53, 31, 47, 18, 23, 24, 30, 41, 44, 15, 28, 16, 17, 26, 27,
    29, 61, 40, 57, 48, 25, 43, 49, 56, 20};
static const uint8_t order_at[] = {0, 0, 0, 0, 2, 8, 11, 15, 21, 24, 24, 27, 28, 30, 36, 38, 40, 44,
    46, 47, 50, 50, 50, 50, 50, 50, 51, 51, 52};

uint32_t
fc_hpack_static_find(const char *name, size_t size)
{
	if (size + 1 >= FC_COUNT(order_at))
		return 0;
	for (unsigned i = order_at[size]; i < order_at[size + 1]; i++) {
		const char *known = fc_hpack_static[order[i] - 1].field.name;

		if (known[size - 1] == name[size - 1] && memcmp(known, name, size) == 0)
			return order[i];
	}
	return 0;
}
