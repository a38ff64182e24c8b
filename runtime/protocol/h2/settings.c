/*
 * settings.c: SETTINGS, both ways. RFC 9113 section 6.5. What we announce of windows is in force
 * for the peer only when it has acknowledged it; until then it may go by the defaults.
 */
#include "runtime/protocol/grpc/grpc.h"

static const struct setting {
	const char *name;
	uint32_t least, most;
	fc_h2_code error;
} settings[] = {
    [FC_H2_HEADER_TABLE_SIZE] = {"HEADER_TABLE_SIZE", 0, UINT32_MAX, FC_H2_NO_ERROR},
    [FC_H2_ENABLE_PUSH] = {"ENABLE_PUSH", 0, 1, FC_H2_PROTOCOL_ERROR},
    [FC_H2_MAX_CONCURRENT_STREAMS] = {"MAX_CONCURRENT_STREAMS", 0, UINT32_MAX, FC_H2_NO_ERROR},
    [FC_H2_INITIAL_WINDOW_SIZE] = {"INITIAL_WINDOW_SIZE", 0, 0x7fffffff, FC_H2_FLOW_CONTROL_ERROR},
    [FC_H2_MAX_FRAME_SIZE] = {"MAX_FRAME_SIZE", 16384, 16777215, FC_H2_PROTOCOL_ERROR},
    [FC_H2_MAX_HEADER_LIST_SIZE] = {"MAX_HEADER_LIST_SIZE", 0, UINT32_MAX, FC_H2_NO_ERROR},
};

static bool
in_range(fc_h2 *c, uint32_t id, uint32_t value)
{
	const struct setting *setting = &settings[id];
	uint32_t most = setting->most;

	if (id == FC_H2_ENABLE_PUSH && c->config.client)
		most = 0; /* a server may not ask for pushes */
	if (value >= setting->least && value <= most)
		return true;
	fc_h2_fail(c, setting->error, FARCALL_CAUSE_PROTOCOL, "SETTINGS: %s is %u, not %u to %u",
	    setting->name, (unsigned)value, (unsigned)setting->least, (unsigned)most);
	return false;
}

static bool
apply(fc_h2 *c, uint32_t id, uint32_t value)
{
	if (id >= FC_COUNT(settings) || settings[id].name == NULL)
		return true;
	if (!in_range(c, id, value))
		return false;
	switch (id) {
	case FC_H2_HEADER_TABLE_SIZE:
		fc_hpack_encoder_limit(c->encoder, value);
		fc_grpc_templates_check(c);
		break;
	case FC_H2_MAX_CONCURRENT_STREAMS:
		c->peer_streams = value;
		break;
	case FC_H2_INITIAL_WINDOW_SIZE:
		if (!fc_h2_send_initial(c, value)) {
			fc_h2_fail(c, FC_H2_FLOW_CONTROL_ERROR, FARCALL_CAUSE_PROTOCOL,
			    "SETTINGS: INITIAL_WINDOW_SIZE %u makes a window pass 2^31-1",
			    (unsigned)value);
			return false;
		}
		break;
	case FC_H2_MAX_HEADER_LIST_SIZE:
		c->peer_list = value;
		break;
	default:
		break; /* no frame of ours is above the least size */
	}
	return true;
}

static void
acknowledged(fc_h2 *c, const fc_h2_frame *frame)
{
	if (frame->length != 0) {
		fc_h2_fail(c, FC_H2_FRAME_SIZE_ERROR, FARCALL_CAUSE_PROTOCOL,
		    "SETTINGS acknowledged in %u bytes", (unsigned)frame->length);
	} else if (c->acknowledged) {
		fc_h2_idle_frame(c, FC_IDLE_UNKNOWN);
	} else {
		c->acknowledged = true;
		fc_h2_recv_initial(c);
	}
}

void
fc_h2_settings_in(fc_h2 *c, const fc_h2_frame *frame, const uint8_t *payload)
{
	bool first = c->preface;

	if ((frame->flags & FC_H2_ACK) != 0) {
		acknowledged(c, frame);
		return;
	}
	if (frame->length % 6 != 0) {
		fc_h2_fail(c, FC_H2_FRAME_SIZE_ERROR, FARCALL_CAUSE_PROTOCOL,
		    "SETTINGS frame of %u bytes", (unsigned)frame->length);
		return;
	}
	if (frame->length / 6 > FC_H2_SETTINGS_MOST) {
		fc_h2_fail(c, FC_H2_ENHANCE_YOUR_CALM, FARCALL_CAUSE_LIMIT,
		    "SETTINGS with more than %u entries", FC_H2_SETTINGS_MOST);
		return;
	}
	if (!first && !fc_h2_idle_frame(c, FC_IDLE_SETTINGS))
		return;
	if (first)
		c->peer_streams = UINT32_MAX;
	c->preface = false;
	for (uint32_t i = 0; i < frame->length; i += 6)
		if (!apply(c, fc_get16(payload + i), fc_get32(payload + i + 2)))
			return;
	fc_h2_control(c, FC_H2_SETTINGS, FC_H2_ACK, 0, 0, true);
	if (c->wants_capacity)
		c->tasks |= FC_TASK_CAPACITY;
	if (first && c->config.client)
		c->events->on_ready(c->owner);
	fc_h2_pump(c);
}

static uint8_t *
put_setting(uint8_t *p, unsigned id, uint32_t value)
{
	fc_put16(p, id);
	fc_put32(p + 2, value);
	return p + 6;
}

void
fc_h2_introduce(fc_h2 *c)
{
	uint32_t list = (uint32_t)FC_MIN(c->config.max_metadata, FC_H2_BLOCK_MOST);
	uint8_t *p = fc_h2_control(c, FC_H2_SETTINGS, 0, 0, 18, false);

	if (p == NULL)
		return;
	if (c->config.client)
		p = put_setting(p, FC_H2_ENABLE_PUSH, 0);
	else
		p = put_setting(p, FC_H2_MAX_CONCURRENT_STREAMS, c->config.max_streams);
	p = put_setting(p, FC_H2_INITIAL_WINDOW_SIZE, c->config.stream_window);
	put_setting(p, FC_H2_MAX_HEADER_LIST_SIZE, list);
	if (c->window > FC_H2_WINDOW)
		fc_h2_put_window(c, 0, c->window - FC_H2_WINDOW);
	c->cut = c->out.size; /* all else comes behind them: RFC 9113 3.4 */
}
