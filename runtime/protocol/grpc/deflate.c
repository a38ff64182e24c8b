/*
 * deflate.c: messages compressed, to be sent. The output's ceiling is one byte less than the
 * message: at it deflating stops, and the message goes as it is. Window and tables are as large as
 * the message makes use of, so that a small one is cheap.
 */
#include "runtime/protocol/grpc/coding.h"

#include "runtime/base/bytes.h"

#define ZLIB_CONST
#include <zlib.h>

#define GZIP_LEAST 20u /* bytes of the shortest output */
#define ZLIB_LEAST 8u
#define LEVEL 4     /* of text it takes half the time of zlib's default, for 6 % more bytes */
#define STATE 8192u /* zlib's own, and some room */

typedef struct deflating {
	fc_sink sink;
	z_stream z;
	fc_buf *to;
	fc_deflated state;
} deflating;

static bool
make_room(deflating *d)
{
	fc_buf *to = d->to;

	if (to->room == to->to && fc_buf_size(to) == to->most)
		d->state = FC_DEFLATED_NO_GAIN;
	else if (fc_buf_reserve(to, 1) == NULL)
		d->state = FC_DEFLATED_NO_MEMORY;
	return d->state == FC_DEFLATED;
}

/* All input; with Z_FINISH also what zlib keeps back. */
static void
run(deflating *d, int flush)
{
	fc_buf *to = d->to;
	int rc = Z_OK;

	while (flush == Z_FINISH ? rc != Z_STREAM_END : d->z.avail_in != 0) {
		uInt room;

		if (!make_room(d))
			return;
		room = (uInt)(to->room - to->to);
		d->z.next_out = to->data + to->to;
		d->z.avail_out = room;
		rc = deflate(&d->z, flush);
		fc_buf_add(to, room - d->z.avail_out);
	}
}

static void
add(fc_sink *sink, const uint8_t *bytes, size_t size)
{
	deflating *d = (deflating *)(void *)sink;

	while (size != 0 && d->state == FC_DEFLATED) {
		size_t n = FC_MIN(size, (size_t)1 << 30);

		d->z.next_in = bytes;
		d->z.avail_in = (uInt)n;
		run(d, Z_NO_FLUSH);
		bytes += n;
		size -= n;
	}
}

/* Bits of the window, which holds a message of `size` bytes, if there is one so large. */
static int
window_bits(size_t size)
{
	int bits = 9;

	while (bits < MAX_WBITS && (size_t)1 << bits < size)
		bits++;
	return bits;
}

/* zlib.h: (1 << (windowBits + 2)) + (1 << (memLevel + 9)), and its state. */
static bool
begin(deflating *d, unsigned coding, fc_zlib_memory *memory, size_t size)
{
	int bits = window_bits(size), level = FC_MIN(bits - 6, 7);

	memory->block = ((size_t)1 << (bits + 2)) + ((size_t)1 << (level + 9)) + STATE;
	d->z.zalloc = fc_zlib_get;
	d->z.zfree = fc_zlib_put;
	d->z.opaque = memory;
	return deflateInit2(&d->z, LEVEL, Z_DEFLATED, coding == FC_CODING_GZIP ? 16 + bits : bits,
	           level, Z_DEFAULT_STRATEGY) == Z_OK;
}

fc_deflated
fc_deflate(unsigned coding, const fc_payload *payload, fc_buf *to)
{
	fc_zlib_memory memory = {.pool = to->pool};
	deflating d = {.sink = {add}, .to = to, .state = FC_DEFLATED};

	if (payload->size <= (coding == FC_CODING_GZIP ? GZIP_LEAST : ZLIB_LEAST))
		return FC_DEFLATED_NO_GAIN;
	to->most = payload->size - 1;
	if (!begin(&d, coding, &memory, payload->size) ||
	    fc_buf_reserve(to, FC_MIN(payload->size / 4 + 64, to->most)) == NULL) {
		d.state = FC_DEFLATED_NO_MEMORY;
	} else {
		payload->pour(payload, &d.sink);
		if (d.state == FC_DEFLATED)
			run(&d, Z_FINISH);
	}
	fc_zlib_give_back(&memory);
	return d.state;
}
