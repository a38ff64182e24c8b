/*
 * frames_out.c: frames into the output. Control frames that find no memory doom the connection,
 * since the peer would wait for them for ever.
 */
#include "runtime/protocol/h2/connection.h"

uint8_t *
fc_h2_control(fc_h2 *c, unsigned type, unsigned flags, uint32_t id, uint32_t length, bool induced)
{
	uint8_t *at;

	if (c->dead && type != FC_H2_GOAWAY)
		return NULL;
	at = fc_h2_out_reserve(c, FC_H2_HEAD + length);
	if (at == NULL) {
		fc_h2_doom_memory(c);
		return NULL;
	}
	fc_h2_put_head(at, length, type, flags, id);
	fc_h2_out_add(c, FC_H2_HEAD + length);
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
	return fc_chain_pieces(&c->out, pieces, most);
}

void
fc_h2_wrote(fc_engine *c, size_t size)
{
	if (size == 0)
		return;
	c->written += size;
	fc_chain_take(&c->out, size);
	if (c->out.size == 0)
		c->induced = 0;
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
