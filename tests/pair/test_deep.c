/*
 * Messages of a recursive type between client and server: 100 deep they pass; what the program
 * nests deeper, or into itself, fails the call with a word why, on each way that a message can go
 * out.
 */
#include "tests/support/pair.h"

#include "tests/unit/call/guard_test.pb-c.h"

enum way { RETURNED, SENT };

typedef struct handlers {
	farcall_code (*grow)(farcall_call *call, const Guard__Tree *request, Guard__Tree *reply);
} handlers;

static Guard__Tree trees[101];
static enum way way;

/* A chain of so many messages, below the first one given. */
static void
chain(Guard__Tree *first, unsigned depth)
{
	for (unsigned i = 1; i < depth; i++) {
		guard__tree__init(&trees[i]);
		trees[i].only = i + 1 < depth ? &trees[i + 1] : NULL;
	}
	first->only = depth > 1 ? &trees[1] : NULL;
}

/* Answers as deep as the request's value says; 0: with itself inside. */
static farcall_code
grow(farcall_call *call, const Guard__Tree *request, Guard__Tree *reply)
{
	if (way == SENT) {
		reply = &trees[0];
		guard__tree__init(reply);
	}
	if (request->value == 0)
		reply->only = reply;
	else if (request->value > 0)
		chain(reply, (unsigned)request->value);
	if (way == RETURNED)
		return FARCALL_OK;
	farcall_call_send_reply(call, &reply->base);
	return FARCALL_PENDING;
}

static farcall_code
dispatch(
    farcall_call *call, const void *ops, const ProtobufCMessage *request, ProtobufCMessage *reply)
{
	return ((const handlers *)ops)
	    ->grow(call, (const Guard__Tree *)(const void *)request, (Guard__Tree *)(void *)reply);
}

static const farcall_method method = {.name = "Grow",
    .path = "/guard.Trees/Grow",
    .request = &guard__tree__descriptor,
    .reply = &guard__tree__descriptor,
    .shape = FARCALL_UNARY,
    .dispatch = dispatch};
static const farcall_interface trees_interface = {.abi = FARCALL_INTERFACE_ABI,
    .method_size = sizeof(farcall_method),
    .name = "guard.Trees",
    .n_methods = 1,
    .methods = &method};
static const handlers ops = {grow};

typedef struct result {
	atomic_int done;
	farcall_code code;
} result;

static void
on_done(farcall_call *call, farcall_code code, const ProtobufCMessage *reply, void *data)
{
	(void)call, (void)reply;
	((result *)data)->code = code;
	atomic_store(&((result *)data)->done, 1);
}

static farcall_code
call_with(test_pair *pair, Guard__Tree *request, bool async, const char *text)
{
	farcall_call *call = farcall_call_new(pair->channel);
	const ProtobufCMessage *reply = NULL;
	result got = {0, FARCALL_OK};

	farcall_call_set_timeout_ms(call, 60000);
	if (async) {
		farcall_call_invoke_async(call, &method, &request->base, on_done, &got);
		test_wait_for(&got.done, 1);
	} else {
		got.code = farcall_call_invoke(call, &method, &request->base, &reply);
	}
	if (text != NULL)
		assert_non_null(strstr(farcall_call_error(call), text));
	farcall_call_free(call);
	return got.code;
}

static void
begin(test_pair *pair)
{
	test_pair_init(pair, "mem:deep");
	farcall_server_register(pair->server, &trees_interface, &ops, sizeof ops, NULL);
	test_pair_start(pair);
}

static void
requests(void **state)
{
	Guard__Tree request = GUARD__TREE__INIT;
	test_pair pair;

	(void)state;
	way = RETURNED;
	begin(&pair);
	for (int async = 0; async <= 1; async++) {
		request.value = -1;
		chain(&request, 100);
		assert_int_equal(call_with(&pair, &request, async != 0, NULL), FARCALL_OK);
		chain(&request, 101);
		assert_int_equal(call_with(&pair, &request, async != 0, "nested too deep"),
		    FARCALL_INVALID_ARGUMENT);
		request.only = &request;
		assert_int_equal(call_with(&pair, &request, async != 0, "nested too deep"),
		    FARCALL_INVALID_ARGUMENT);
	}
	test_pair_fini(&pair);
}

static void
replies(void **state)
{
	Guard__Tree request = GUARD__TREE__INIT;
	test_pair pair;

	(void)state;
	begin(&pair);
	for (way = RETURNED; way <= SENT; way++) {
		request.value = 100;
		assert_int_equal(call_with(&pair, &request, false, NULL), FARCALL_OK);
		request.value = 101;
		assert_int_equal(
		    call_with(&pair, &request, false, "the reply is nested deeper than 100"),
		    FARCALL_INTERNAL);
		request.value = 0;
		assert_int_equal(
		    call_with(&pair, &request, false, "the reply is nested deeper than 100"),
		    FARCALL_INTERNAL);
	}
	test_pair_fini(&pair);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(requests),
	    clean_test(replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
