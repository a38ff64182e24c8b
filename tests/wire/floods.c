/*
 * floods.c: see floods.h.
 */
#include "tests/wire/floods.h"

#include "tests/support/test.h"

#include <stdio.h>

void
wire_calms_down(wire *w, const char *text)
{
	char end[200];
	const char *said = wire_said(w);
	size_t size = (size_t)snprintf(
	    end, sizeof end, "GOAWAY %u ENHANCE_YOUR_CALM \"%s\"\n", w->engine->last_in, text);

	assert_true(wire_is_dead(w));
	assert_true(strlen(said) >= size);
	assert_string_equal(said + strlen(said) - size, end);
}

/* ---- frames that do no work ---- */

static void
empty_data(wire *w)
{
	wire_data(w, 1, false, NULL, 0);
}

static void
padding_only(wire *w)
{
	wire_frame(w, FC_H2_DATA, FC_H2_PADDED, 1, "\3\0\0\0", 4);
}

static void
ping(wire *w)
{
	wire_ping(w, false, "........");
}

static void
settings(wire *w)
{
	wire_settings(w, NULL, 0);
}

static void
priority(wire *w)
{
	wire_frame(w, FC_H2_PRIORITY, 0, 1, "\0\0\0\0\0", 5);
}

static void
window(wire *w)
{
	wire_window(w, 1, 1);
}

static void
unknown(wire *w)
{
	wire_frame(w, 200, 0, 1, "x", 1);
}

static void
stray_ack(wire *w)
{
	wire_ack(w);
}

static const struct flood {
	void (*frame)(wire *w);
	unsigned burst, a_second, a_work;
	const char *text;
	bool puts_by; /* frames of the call have earned some before they were needed */
} floods[] = {
    {empty_data, 100, 10, 1, "too many empty DATA frames", false},
    {padding_only, 100, 10, 1, "too many empty DATA frames", false},
    {ping, 100, 2, 8, "too_many_pings", false},
    {settings, 100, 1, 1, "too many SETTINGS frames", false},
    {priority, 1000, 100, 16, "too many PRIORITY frames", false},
    {window, 1000, 100, 16, "too many WINDOW_UPDATE frames", true},
    {unknown, 1000, 10, 1, "too many frames without a meaning", false},
    {stray_ack, 1000, 10, 1, "too many frames without a meaning", false},
};
static const struct flood *flood;

/* A call under way; answers how many frames of it went by. */
static unsigned
begin_call(wire *w)
{
	if (!w->config.client) {
		wire_call(w, 1, false);
		return 1;
	}
	wire_open_stream(w);
	wire_send(w, 1, "q", true);
	wire_take_output(w);
	wire_response(w, 1);
	return 3; /* two of its own, and the answer's head */
}

static void
flood_(wire *w)
{
	unsigned frames;

	w->quiet = true;
	wire_greeting(w);
	frames = begin_call(w);
	for (unsigned i = 0; i < flood->burst + (flood->puts_by ? frames * flood->a_work : 0); i++)
		flood->frame(w);
	assert_false(wire_is_dead(w));
	w->now += FC_NS_PER_S;
	for (unsigned i = 0; i < flood->a_second; i++)
		flood->frame(w);
	assert_false(wire_is_dead(w));
	wire_message(w, 1, false, "work"); /* earns some more */
	for (unsigned i = 0; i < flood->a_work; i++)
		flood->frame(w);
	assert_false(wire_is_dead(w));
	flood->frame(w);
	wire_calms_down(w, flood->text);
}

void
floods_run(bool client)
{
	for (size_t i = 0; i < FC_COUNT(floods); i++) {
		flood = &floods[i];
		wire_run(flood_, client);
	}
}
