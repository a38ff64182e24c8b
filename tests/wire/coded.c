#include "tests/wire/coded.h"

#include "tests/support/test.h"

#include "runtime/protocol/grpc/coding.h"

#include <stdlib.h>
#include <zlib.h>

void
coded_open(wire *w, unsigned codings)
{
	w->config.codings = codings;
	wire_open(w);
	wire_greeting(w);
}

/* ---- messages of zeros, compressed ---- */

size_t
coded_zeros(unsigned coding, size_t size, uint8_t *to, size_t room)
{
	static const uint8_t zeros[65536];
	z_stream z = {.next_out = to, .avail_out = (uInt)room};

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, coding == FC_CODING_GZIP ? 31 : 15, 8,
	                     Z_DEFAULT_STRATEGY),
	    Z_OK);
	for (size_t left = size; left != 0; left -= FC_MIN(left, sizeof zeros)) {
		z.next_in = (Bytef *)(uintptr_t)zeros;
		z.avail_in = (uInt)FC_MIN(left, sizeof zeros);
		assert_int_equal(deflate(&z, Z_NO_FLUSH), Z_OK);
	}
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return room - z.avail_out;
}

void
coded_feed(wire *w, uint32_t id, bool end, const uint8_t *bytes, size_t size)
{
	uint8_t *message = (uint8_t *)malloc(size + 5);

	message[0] = 1;
	fc_put32(message + 1, (uint32_t)size);
	memcpy(message + 5, bytes, size);
	wire_data(w, id, end, message, size + 5);
	free(message);
}

void
coded_feed_zeros(wire *w, uint32_t id, bool end, unsigned coding, size_t size)
{
	uint8_t coded[16000];

	coded_feed(w, id, end, coded, coded_zeros(coding, size, coded, sizeof coded));
}

bool
coded_said(wire *w, uint32_t id, unsigned coding, size_t expected)
{
	uint8_t *bytes = (uint8_t *)malloc(1 << 20);
	size_t size = 0, at;
	bool compressed;
	fc_error why;
	fc_buf plain;

	wire_take_output(w);
	for (at = w->out_read; at < w->out_size; at += 9 + fc_get24(w->out + at)) {
		if (w->out[at + 3] != FC_H2_DATA || fc_get32(w->out + at + 5) != id)
			continue;
		memcpy(bytes + size, w->out + at + 9, fc_get24(w->out + at));
		size += fc_get24(w->out + at);
	}
	wire_said(w);
	assert_true(size >= 5 && bytes[0] <= 1);
	compressed = bytes[0] == 1;
	assert_true(fc_get32(bytes + 1) <= size - 5);
	fc_buf_init(&plain, NULL, 0);
	fc_error_clear(&why);
	if (compressed) {
		assert_int_equal(
		    fc_inflate(coding, bytes + 5, fc_get32(bytes + 1), 1 << 20, &plain, &why),
		    FARCALL_OK);
		assert_int_equal(fc_buf_size(&plain), expected);
		assert_true(fc_get32(bytes + 1) < expected);
	} else {
		assert_int_equal(fc_get32(bytes + 1), expected);
	}
	fc_buf_fini(&plain);
	free(bytes);
	return compressed;
}

char coded_flags[64];

void
coded_note(wire *w, const char *what, fc_stream *stream)
{
	(void)w;
	if (strcmp(what, "message") == 0)
		strcat(coded_flags, stream->compressed ? "c" : "p");
}
