#include "tests/pair/mix.h"

#include <farcall/raw.h>
#include <farcall/rich.h>

#include <stdlib.h>

void
mix_look(farcall_call *call)
{
	const farcall_metadata *metadata = farcall_call_metadata(call);
	const char *key;
	size_t size;

	for (size_t i = 0; farcall_metadata_at(metadata, i, &key, NULL, &size); i++)
		if (strcmp(key, "said") == 0 && size != 5)
			abort();
	if (farcall_call_code(call) == FARCALL_OK &&
	    farcall_call_cause(call) == FARCALL_CAUSE_LIMIT)
		abort();
	if (strlen(farcall_call_error(call)) + strlen(farcall_call_status_message(call)) +
	        strlen(farcall_call_peer(call)) >
	    10000)
		abort();
	if (farcall_call_remaining_ms(call) > 20000 || farcall_call_method(call) == NULL)
		abort();
	farcall_call_cancelled(call);
	farcall_call_message_compressed(call);
}

/* ---- the server ---- */

/* Its first attempt fails before anything was answered. */
static bool
fails_at_first(farcall_call *call)
{
	const farcall_metadata *metadata = farcall_call_metadata(call);

	return farcall_metadata_get(metadata, "flaky") != NULL &&
	    farcall_metadata_get(metadata, "grpc-previous-rpc-attempts") == NULL;
}

static farcall_code
not_yet(farcall_call *call)
{
	return farcall_call_fail(call, FARCALL_UNAVAILABLE, "not yet");
}

static farcall_code
count(farcall_call *call, const Stream__Message *request)
{
	Stream__Message detail = STREAM__MESSAGE__INIT;

	detail.number = request->number;
	farcall_call_add_detail(call, &detail.base);
	return fails_at_first(call) ? not_yet(call) : test_stream_count(call, request);
}

static farcall_code
sum(farcall_call *call, Stream__Message *reply)
{
	return fails_at_first(call) ? not_yet(call) : test_stream_sum(call, reply);
}

static farcall_code
chat(farcall_call *call)
{
	return fails_at_first(call) ? not_yet(call) : test_stream_chat(call);
}

static farcall_code
murmur(farcall_call *call)
{
	return fails_at_first(call) ? not_yet(call) : test_stream_murmur(call);
}

static farcall_code
mirror(farcall_call *call)
{
	const void *data;
	farcall_code code;
	size_t size;

	farcall_call_send_head(call);
	while ((code = farcall_call_recv_raw(call, &data, &size)) == FARCALL_OK) {
		mix_look(call);
		farcall_call_set_message_compression(call, size % 2 == 0);
		if ((code = farcall_call_send_raw(call, data, size)) != FARCALL_OK)
			break;
	}
	return code;
}

/* ---- what pends ---- */

static struct {
	uv_mutex_t lock;
	size_t n;
	struct {
		farcall_call *call;
		farcall_code code;
	} at[4096];
} pending;

static void
pend(farcall_call *call, farcall_code code)
{
	uv_mutex_lock(&pending.lock);
	assert_true(pending.n < sizeof pending.at / sizeof pending.at[0]);
	pending.at[pending.n].call = call;
	pending.at[pending.n++].code = code;
	uv_mutex_unlock(&pending.lock);
}

static bool
resume_one(void)
{
	farcall_call *call = NULL;
	farcall_code code = FARCALL_OK;

	uv_mutex_lock(&pending.lock);
	if (pending.n != 0) {
		call = pending.at[--pending.n].call;
		code = pending.at[pending.n].code;
	}
	uv_mutex_unlock(&pending.lock);
	if (call != NULL)
		farcall_intercept_resume(call, code);
	return call != NULL;
}

/* ---- hooks ---- */

static uint32_t
roll(mix *m)
{
	uint32_t x = atomic_fetch_add(&m->dice, 1) * 2654435761u + m->seed;

	x ^= x >> 15;
	x *= 2246822519u;
	return x ^ x >> 13;
}

static farcall_code
judge(mix_hook *h, farcall_call *call, const farcall_intercepted *about)
{
	if (!about->server && !h->inner) {
		farcall_call_add_metadata(call, "token", "1234");
	} else if (about->server && !h->inner) {
		farcall_call_add_trailer(call, "served", "well");
		if (farcall_metadata_get(about->metadata, "token") == NULL)
			atomic_fetch_add(&h->m->wrong, 1);
	} else if (about->server && farcall_metadata_get(about->metadata, "refuse") != NULL) {
		farcall_call_add_detail_bytes(call, "test/why", "refused", 7);
		return farcall_call_fail(call, FARCALL_PERMISSION_DENIED, "as asked");
	}
	return FARCALL_OK;
}

static farcall_code
begin(farcall_call *call, const farcall_intercepted *about, void *data)
{
	mix_hook *h = (mix_hook *)data;
	farcall_code code = judge(h, call, about);
	uint32_t dice = roll(h->m);

	atomic_fetch_add(&h->begun, 1);
	*about->state = malloc(1);
	*(char *)*about->state = 'm';
	if (dice % 8 > 1)
		return code;
	atomic_fetch_add(&h->m->pended, 1);
	if (dice % 8 == 0)
		farcall_intercept_resume(call, code); /* before it has returned */
	else
		pend(call, code);
	return FARCALL_PENDING;
}

static void
message(farcall_call *call, const farcall_intercepted *about, bool sent,
    const ProtobufCMessage *seen, void *data)
{
	mix_hook *h = (mix_hook *)data;

	(void)call;
	(void)sent;
	if (*(char *)*about->state != 'm' || seen == NULL)
		atomic_fetch_add(&h->m->wrong, 1);
}

static void
end(farcall_call *call, const farcall_intercepted *about, const farcall_outcome *outcome,
    void *data)
{
	mix_hook *h = (mix_hook *)data;

	(void)call;
	if (*(char *)*about->state != 'm' || (unsigned)outcome->code > FARCALL_UNAUTHENTICATED)
		atomic_fetch_add(&h->m->wrong, 1);
	free(*about->state);
	atomic_fetch_add(&h->ended, 1);
}

static const farcall_interceptor hooks = {.begin = begin, .message = message, .end = end};

/* ---- what is cancelled ---- */

void
mix_share(mix *m, farcall_call *call, unsigned n)
{
	farcall_call_hold(call);
	call = atomic_exchange(&m->shared[n % MIX_SLOTS], call);
	if (call != NULL)
		farcall_call_free(call);
}

void
mix_take_shared(mix *m, unsigned n)
{
	farcall_call *call = atomic_exchange(&m->shared[n % MIX_SLOTS], NULL);

	if (call == NULL)
		return;
	farcall_call_cancel(call);
	farcall_call_free(call);
}

/* ---- all of it ---- */

static void
stepper_main(void *data)
{
	mix *m = (mix *)data;

	while (!atomic_load(&m->left))
		farcall_loop_step(m->lent, 1);
}

static void
resumer_main(void *data)
{
	mix *m = (mix *)data;

	while (resume_one() || !atomic_load(&m->over)) {
		mix_take_shared(m, roll(m));
		if (roll(m) % 4 == 0)
			uv_sleep(1);
	}
}

static void
open_server(mix *m, bool grows_old)
{
	struct stream_test ops = test_stream_handlers;

	ops.count = count;
	ops.sum = sum;
	ops.chat = chat;
	ops.murmur = murmur;
	m->server = farcall_server_new();
	stream_test__register(m->server, &ops, m);
	farcall_server_set_catch_all_stream(m->server, mirror, NULL);
	if (m->lent != NULL)
		farcall_server_set_loop(m->server, m->lent);
	else
		farcall_server_set_loops(m->server, m->seed % 3 + 1);
	if (m->seed % 2 == 1)
		farcall_server_set_compression(m->server, FARCALL_GZIP);
	if (grows_old)
		farcall_server_set_max_connection_age_ms(m->server, 1000);
	farcall_server_set_keepalive_ms(m->server, 1000);
	for (int i = 0; i < 2; i++)
		farcall_server_intercept(m->server, &hooks, sizeof hooks, &m->hooks[i]);
}

static void
open_channel(mix *m, int i, const char *address, const char *config)
{
	m->channels[i] = farcall_channel_open(address);
	if (i % 2 == 1)
		farcall_channel_set_service_config(m->channels[i], config);
	if (i == 2)
		farcall_channel_set_compression(m->channels[i], FARCALL_DEFLATE);
	if (i == MIX_LENT)
		farcall_channel_set_loop(m->channels[i], m->loop);
	for (int j = 2; j < 4; j++)
		farcall_channel_intercept(m->channels[i], &hooks, sizeof hooks, &m->hooks[j]);
	assert_string_equal(farcall_channel_error(m->channels[i]), "");
}

void
mix_open(mix *m, unsigned seed, const char *config, bool grows_old)
{
	const char *address;

	memset(m, 0, sizeof *m);
	m->seed = seed;
	for (int i = 0; i < MIX_HOOKS; i++) {
		m->hooks[i].m = m;
		m->hooks[i].inner = i % 2 == 1;
	}
	uv_mutex_init(&pending.lock);
	m->loop = farcall_loop_new();
	m->lent = seed % 5 == 4 ? farcall_loop_new() : NULL;
	open_server(m, grows_old);
	address = farcall_endpoint_address(
	    farcall_server_bind(m->server, seed % 2 == 0 ? "mem:mix" : "127.0.0.1:0"), 0);
	assert_int_equal(farcall_server_start(m->server), FARCALL_OK);
	if (m->lent != NULL)
		uv_thread_create(&m->stepper, stepper_main, m);
	for (int i = 0; i < MIX_CHANNELS; i++)
		open_channel(m, i, address, config);
	uv_thread_create(&m->resumer, resumer_main, m);
}

void
mix_close(mix *m)
{
	for (int i = 0; i < MIX_CHANNELS; i++)
		farcall_channel_close(m->channels[i]);
	atomic_store(&m->left, true);
	if (m->lent != NULL)
		uv_thread_join(&m->stepper);
	farcall_server_free(m->server);
	farcall_loop_free(m->lent);
	for (int i = 0; i < 10; i++)
		farcall_loop_step(m->loop, 0);
	farcall_loop_free(m->loop);
	for (unsigned i = 0; i < MIX_SLOTS; i++)
		mix_take_shared(m, i);
	atomic_store(&m->over, true);
	uv_thread_join(&m->resumer);
	uv_mutex_destroy(&pending.lock);
	for (int i = 0; i < 10000 && test_allocator_live() != 0; i++)
		uv_sleep(1); /* what a channel's thread still holds */
	for (int i = 0; i < MIX_HOOKS; i++)
		assert_int_equal(atomic_load(&m->hooks[i].begun), atomic_load(&m->hooks[i].ended));
}
