/*
 * preface_in.c: how a connection begins, and what to say when the peer speaks something else. The
 * verdict falls at the first byte that differs, so it does not depend on how the bytes were cut.
 */
#include "runtime/protocol/h2/connection.h"

/* The bytes so far differ from the preface in their last one. */
static void
refuse(fc_h2 *c, uint8_t first, uint8_t last)
{
	const char *what;

	if (first == 0x16)
		what = "a TLS handshake came; this endpoint speaks plaintext";
	else if (first == 0)
		what = "a frame came without the HTTP/2 preface before it";
	else if (c->preface_size > 3)
		what = "the HTTP/2 preface is damaged";
	else if (first >= 'A' && first <= 'Z')
		what = "text came that looks like HTTP/1; only HTTP/2 with prior knowledge is "
		       "spoken here";
	else
		what = "something else came";
	fc_h2_fail(c, FC_H2_PROTOCOL_ERROR, FARCALL_CAUSE_PROTOCOL,
	    "the peer does not speak HTTP/2: %s (byte %u is 0x%02x)", what,
	    (unsigned)c->preface_size, last);
}

const uint8_t *
fc_h2_preface(fc_h2 *c, const uint8_t *p, const uint8_t *end)
{
	static const char preface[] = FC_H2_PREFACE;

	while (p != end && c->preface_size < FC_H2_PREFACE_SIZE) {
		if (*p != (uint8_t)preface[c->preface_size]) {
			refuse(c, c->preface_size == 0 ? *p : (uint8_t)preface[0], *p);
			return end;
		}
		p++;
		c->preface_size++;
	}
	if (c->preface_size == FC_H2_PREFACE_SIZE) {
		fc_h2_introduce(c);
		if (c->drain != FC_DRAIN_NO) /* it began before this */
			fc_h2_put_goaway(c, 0, FC_H2_NO_ERROR, c->drain_text);
	}
	return p;
}

static const struct {
	const char *start;
	size_t size;
	const char *what;
} others[] = {
    {"HTTP/1", 6, "the server speaks HTTP/1, not HTTP/2"},
    {"HTTP/", 5, "the server speaks HTTP, but not HTTP/2"},
    {"\x15\x03", 2, "the server speaks TLS (it sent an alert), not plaintext HTTP/2"},
    {"\x16\x03", 2, "the server speaks TLS, not plaintext HTTP/2"},
    {"SSH-", 4, "the server speaks SSH, not HTTP/2"},
};

void
fc_h2_not_http2(fc_h2 *c, const uint8_t *head, size_t size)
{
	for (size_t i = 0; i < FC_COUNT(others); i++) {
		if (size >= others[i].size && memcmp(head, others[i].start, others[i].size) == 0) {
			fc_h2_fail(
			    c, FC_H2_PROTOCOL_ERROR, FARCALL_CAUSE_PROTOCOL, "%s", others[i].what);
			return;
		}
	}
	fc_h2_fail(c, FC_H2_PROTOCOL_ERROR, FARCALL_CAUSE_PROTOCOL,
	    "the server does not speak HTTP/2: its first bytes are no SETTINGS frame");
}
