#include "tests/unit/client/attempts.h"

#include <stdio.h>

tiny_call *kept[256];
int n_kept;
char error_text[512];

void
begin_stopped(fixture *f)
{
	fc_error error;

	memset(f, 0, sizeof *f);
	fc_error_clear(&error);
	f->clock.now = 1000 * FC_NS_PER_S;
	f->clock.is_virtual = true;
	f->loop = fc_loop_open(&f->clock, &error);
	assert_non_null(f->loop);
	f->channel = farcall_channel_open("mem:attempt");
	farcall_channel_set_loop(f->channel, f->loop);
	fc_channel_seed(f->channel, 1);
	n_kept = 0;
}

void
begin(fixture *f)
{
	begin_stopped(f);
	tiny_start(&f->server, f->loop, "mem:attempt");
}

void
end_stopped(fixture *f)
{
	farcall_channel_close(f->channel);
	fc_loop_close(f->loop);
}

void
end(fixture *f)
{
	farcall_channel_close(f->channel);
	tiny_stop(&f->server);
	fc_loop_close(f->loop);
}

void
echo_nothing(tiny_call *call)
{
	tiny_send(call, "", 0);
	tiny_end(call, FARCALL_OK, "");
}

void
keep(tiny_call *call)
{
	kept[n_kept++] = call;
}

farcall_code
call_with_timeout(fixture *f, uint64_t ms)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(f->channel);
	const Pair__Message *reply = NULL;
	farcall_code code;

	if (ms != UINT64_MAX)
		farcall_call_set_timeout_ms(call, ms);
	code = pair_test_echo(call, &request, &reply);
	assert_int_equal(code, farcall_call_code(call));
	assert_true((reply != NULL) == (code == FARCALL_OK));
	snprintf(error_text, sizeof error_text, "%s", farcall_call_error(call));
	farcall_call_free(call);
	return code;
}

void
note(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	outcome *to = (outcome *)data;

	to->times++;
	to->code = code;
	to->replied = reply != NULL;
	snprintf(to->error, sizeof to->error, "%s", farcall_call_error(call));
}

farcall_call *
start_async(fixture *f, uint64_t ms, bool wait_for_ready, outcome *to)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(f->channel);

	if (ms != UINT64_MAX)
		farcall_call_set_timeout_ms(call, ms);
	farcall_call_set_wait_for_ready(call, wait_for_ready);
	memset(to, 0, sizeof *to);
	pair_test_echo__async(call, &request, note, to);
	assert_int_equal(to->times, 0);
	return call;
}

void
turns(fixture *f, int n)
{
	for (int i = 0; i < n; i++)
		fc_loop_turn(f->loop, 0);
}
