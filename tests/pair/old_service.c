#include "tests/pair/old_service.h"

#include <stdio.h>

#include <uv.h>

static void
echo(Pair__Test_Service *service, const Pair__Message *input, Pair__Message_Closure closure,
    void *data)
{
	(void)service;
	closure(input, data);
}

static void
answer_nothing(Pair__Test_Service *service, const Pair__Message *input,
    Pair__Message_Closure closure, void *data)
{
	(void)service, (void)input;
	closure(NULL, data);
}

static void
wait_for_test(
    Pair__Test_Service *base, const Pair__Message *input, Pair__Message_Closure closure, void *data)
{
	static atomic_flag lock = ATOMIC_FLAG_INIT; /* calls overlap */
	old_service *service = (old_service *)base;
	int i;

	(void)input;
	while (atomic_flag_test_and_set(&lock))
		;
	i = atomic_load(&service->n_waiting);
	service->waiting[i % 64].closure = (ProtobufCClosure)closure;
	service->waiting[i % 64].data = data;
	atomic_store(&service->n_waiting, i + 1);
	atomic_flag_clear(&lock);
}

static void
grow(Pair__Test_Service *service, const Pair__Message *input, Pair__Message_Closure closure,
    void *data)
{
	Pair__Message reply = PAIR__MESSAGE__INIT;
	uint8_t bytes[1000];

	(void)service;
	memset(bytes, 'g', sizeof bytes);
	reply.data.data = bytes;
	reply.data.len = input->number < sizeof bytes ? input->number : sizeof bytes;
	closure(&reply, data);
	memset(bytes, 'x', sizeof bytes);
}

static void
slow(
    Pair__Test_Service *base, const Pair__Message *input, Pair__Message_Closure closure, void *data)
{
	old_service *service = (old_service *)base;
	int inside = atomic_fetch_add(&service->n_inside, 1) + 1;
	int most = atomic_load(&service->most_inside);

	while (inside > most && !atomic_compare_exchange_weak(&service->most_inside, &most, inside))
		;
	uv_sleep(input->number);
	atomic_fetch_sub(&service->n_inside, 1);
	closure(input, data);
}

static void
custom(
    Pair__Test_Service *base, const Pair__Message *input, Pair__Message_Closure closure, void *data)
{
	old_service *service = (old_service *)base;
	old_closure both = {(ProtobufCClosure)closure, data};

	service->custom(service, input, both);
}

void
old_service_init(old_service *service)
{
	memset(service, 0, sizeof *service);
	pair__test__init(&service->base, NULL);
	service->base.echo = echo;
	service->base.fail = answer_nothing;
	service->base.wait = wait_for_test;
	service->base.grow = grow;
	service->base.slow = slow;
	service->base.custom = custom;
}

void
old_service_answer(old_closure closure, const char *text)
{
	Pair__Message reply = PAIR__MESSAGE__INIT;

	reply.text = (char *)(uintptr_t)text;
	closure.closure(text != NULL ? &reply.base : NULL, closure.data);
}

void
old_server_init(old_server *old, const char *address)
{
	memset(old, 0, sizeof *old);
	old_service_init(&old->service);
	old->server = farcall_server_new();
	old->registered = farcall_server_register_protobuf_c(old->server, &old->service.base.base);
	old->endpoint = farcall_server_bind(old->server, address);
	assert_string_equal(farcall_server_error(old->server), "");
}

void
old_server_start(old_server *old)
{
	farcall_server_start(old->server);
	assert_string_equal(farcall_server_error(old->server), "");
	old->channel = farcall_channel_open(farcall_endpoint_address(old->endpoint, 0));
	assert_string_equal(farcall_channel_error(old->channel), "");
}

void
old_server_fini(old_server *old)
{
	farcall_channel_close(old->channel);
	farcall_server_free(old->server);
}

farcall_code
old_call(farcall_channel *channel, old_stub *stub, uint32_t number, uint64_t timeout_ms,
    char *error, size_t room)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(channel);
	const Pair__Message *reply = NULL;
	farcall_code code;

	request.number = number;
	farcall_call_set_timeout_ms(call, timeout_ms);
	code = stub(call, &request, &reply);
	if (error != NULL)
		snprintf(
		    error, room, "%s", code == FARCALL_OK ? reply->text : farcall_call_error(call));
	farcall_call_free(call);
	return code;
}
