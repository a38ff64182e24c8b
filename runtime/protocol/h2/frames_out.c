/*
 * frames_out.c: frames into the output. Control frames that find no memory doom the connection,
 * since the peer would wait for them for ever.
 *
 * Some overtake what is not yet written: a peer may wait for a window before it reads the DATA in
 * front of it, and two that do so would wait for each other. They stand in a row of their own,
 * which goes out where a frame ends. Where that is has to be found only after a short write.
 */
#include "runtime/protocol/h2/connection.h"

static bool
overtakes(const fc_h2 *c, unsigned type, unsigned flags)
{
	return c->out.size >= FC_H2_OVERTAKEN_LEAST &&
	    (type == FC_H2_WINDOW_UPDATE || (type == FC_H2_PING && (flags & FC_H2_ACK) != 0));
}

uint8_t *
fc_h2_control(fc_h2 *c, unsigned type, unsigned flags, uint32_t id, uint32_t length, bool induced)
{
	bool ahead = overtakes(c, type, flags);
	fc_chain *row = ahead ? &c->ahead : &c->out;
	uint8_t *at;

	if (c->dead && type != FC_H2_GOAWAY)
		return NULL;
	at = fc_chain_reserve(row, FC_H2_HEAD + length);
	if (at == NULL) {
		fc_h2_doom_memory(c);
		return NULL;
	}
	fc_h2_put_head(at, length, type, flags, id);
	fc_chain_add(row, FC_H2_HEAD + length);
	if (ahead)
		c->induced_ahead += induced;
	else
		c->control += FC_H2_HEAD + length;
	if (induced && ++c->induced > FC_H2_INDUCED_END)
		fc_h2_doom(c, FC_H2_ENHANCE_YOUR_CALM, FARCALL_CAUSE_LIMIT,
		    "too many answers wait to be read");
	return at + FC_H2_HEAD;
}

void
fc_h2_put_rst(fc_h2 *c, uint32_t id, fc_h2_code code, bool induced)
{
	uint8_t *p = fc_h2_control(c, FC_H2_RST_STREAM, 0, id, 4, induced);

	if (p != NULL)
		fc_put32(p, (uint32_t)code);
}

void
fc_h2_put_window(fc_h2 *c, uint32_t id, uint32_t size)
{
	uint8_t *p = fc_h2_control(c, FC_H2_WINDOW_UPDATE, 0, id, 4, true);

	if (p != NULL)
		fc_put32(p, size);
}

void
fc_h2_put_goaway(fc_h2 *c, uint32_t last, fc_h2_code code, const char *text)
{
	size_t size = strlen(text);
	uint8_t *p = fc_h2_control(c, FC_H2_GOAWAY, 0, 0, (uint32_t)(8 + size), false);

	if (p == NULL)
		return;
	fc_put32(p, last);
	fc_put32(p + 4, (uint32_t)code);
	memcpy(p + 8, text, size);
}

bool
fc_h2_room_for_block(fc_h2 *c, size_t size)
{
	size_t frames = size / FC_H2_FRAME_SIZE + 1;

	return fc_h2_out_reserve(c, size + frames * FC_H2_HEAD) != NULL;
}

bool
fc_h2_put_block(fc_h2 *c, uint32_t id, const uint8_t *block, size_t size, bool end)
{
	unsigned type = FC_H2_HEADERS, flags = end ? FC_H2_END_STREAM : 0;

	if (!fc_h2_room_for_block(c, size))
		return false;
	do {
		size_t n = FC_MIN(size, FC_H2_FRAME_SIZE);
		uint8_t *at = c->out.at;

		size -= n;
		flags |= size == 0 ? FC_H2_END_HEADERS : 0;
		fc_h2_put_head(at, (uint32_t)n, type, flags, id);
		memcpy(at + FC_H2_HEAD, block, n);
		fc_h2_out_add(c, FC_H2_HEAD + n);
		block += n;
		type = FC_H2_CONTINUATION;
		flags = 0;
	} while (size != 0);
	c->work++;
	return true;
}

/* ---- the output, as it is written ---- */

/* The first `size` bytes of what is at `from`, and that goes on behind them. */
static fc_piece
split(fc_piece *from, size_t size)
{
	fc_piece first = {from->at, FC_MIN(from->size, size)};

	from->at += first.size;
	from->size -= first.size;
	return first;
}

/* The rest of the frame begun, what overtakes the others, the others. */
static size_t
three_rows(fc_h2 *c, fc_piece *pieces, size_t most)
{
	fc_piece row[16];
	size_t held = fc_chain_pieces(&c->out, row, FC_COUNT(row));
	size_t n = 0, i = 0, cut = c->cut, ahead = c->ahead.size;

	while (cut != 0 && i < held && n < most) {
		pieces[n] = split(&row[i], cut);
		cut -= pieces[n++].size;
		i += row[i].size == 0;
	}
	if (cut != 0)
		return n;
	for (size_t k = fc_chain_pieces(&c->ahead, pieces + n, most - n); k != 0; k--)
		ahead -= pieces[n++].size;
	while (ahead == 0 && i < held && n < most)
		pieces[n++] = row[i++];
	return n;
}

size_t
fc_h2_output(fc_engine *c, fc_piece *pieces, size_t most)
{
	if (c->going != NULL)
		fc_h2_sweep(c);
	if (!fc_list_empty(&c->ready))
		fc_h2_pump(c);
	if (c->pairs != NULL) {
		fc_pool_put(c->config.pool, c->pairs);
		c->pairs = NULL;
	}
	if (c->scratch.block != NULL)
		fc_buf_fini(&c->scratch);
	if (c->text.block != NULL)
		fc_buf_fini(&c->text);
	if (c->message.block != NULL)
		fc_buf_fini(&c->message);
	if (FARCALL_UNLIKELY(c->ahead.size != 0))
		return three_rows(c, pieces, most);
	return fc_chain_pieces(&c->out, pieces, most);
}

/* So many bytes of `out`, from where a frame begins: how much of the last frame is not among them?
 * A header block counts as one frame, since nothing may stand within it (RFC 9113 6.10); it is put
 * there whole. A frame's head is never cut between two chunks. */
static size_t
rest_of_frame(const fc_chain *out, size_t size)
{
	const fc_chunk *chunk = out->first;
	size_t before = 0, at = 0; /* bytes in front of `chunk`, and of the next frame */
	bool open = false;         /* a header block goes on */

	while (at < size || open) {
		const uint8_t *head;

		while (chunk != out->last && at - before >= chunk->to - chunk->from) {
			before += chunk->to - chunk->from;
			chunk = (const fc_chunk *)chunk->block.next;
		}
		head = (const uint8_t *)chunk + chunk->from + (at - before);
		at += FC_H2_HEAD + (fc_get32(head) >> 8);
		open = (head[3] == FC_H2_HEADERS || head[3] == FC_H2_CONTINUATION) &&
		    (head[4] & FC_H2_END_HEADERS) == 0;
	}
	return at - size;
}

static void
wrote_out(fc_h2 *c, size_t size)
{
	c->written += size;
	fc_chain_take(&c->out, size);
}

static void
wrote_part(fc_h2 *c, size_t size)
{
	size_t n = FC_MIN(size, c->cut);

	wrote_out(c, n);
	c->cut -= n;
	size -= n;
	n = FC_MIN(size, c->ahead.size);
	fc_chain_take(&c->ahead, n);
	size -= n;
	if (c->ahead.size == 0) {
		c->induced -= c->induced_ahead;
		c->induced_ahead = 0;
	}
	if (size == 0)
		return;
	c->cut = rest_of_frame(&c->out, size);
	wrote_out(c, size);
}

void
fc_h2_wrote(fc_engine *c, size_t size)
{
	if (FARCALL_LIKELY(size == c->out.size && c->ahead.size == 0)) {
		wrote_out(c, size);
		c->cut = 0;
	} else if (size != 0) {
		wrote_part(c, size);
	}
	if (c->out.size == 0)
		c->induced = c->induced_ahead;
}

void
fc_h2_drop_output(fc_h2 *c)
{
	fc_chain_fini(&c->out);
	fc_chain_fini(&c->ahead);
	c->cut = 0;
	c->induced = c->induced_ahead = 0;
}

size_t
fc_h2_backlog(const fc_engine *c)
{
	return c->backlog;
}

bool
fc_h2_congested(const fc_engine *c)
{
	return c->out.size > FC_H2_CONGESTED || c->induced > FC_H2_INDUCED_MOST;
}
