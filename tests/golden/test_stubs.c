/*
 * test_stubs.c: what is generated for good/, run against a runtime that only writes down what it
 * was asked: the tables, the dispatch thunks, every stub, and callbacks in their own types.
 */
#include "tests/support/test.h"

#include "google/protobuf/descriptor.pb-c.h"

#include <stdio.h>

#include "imports.farcall.h"
#include "nopackage.farcall.h"
#include "options.farcall.h"
#include "shapes.farcall.h"
#include "verbs.farcall.h"

typedef Golden__Shapes__Ask ask;
typedef Golden__Shapes__Answer answer;

/* What the last function of the runtime was given. */
static struct {
	const char *function;
	farcall_call *call;
	const farcall_method *method;
	const ProtobufCMessage *message;
	farcall_thunk *thunk;
	farcall_function *typed;
	farcall_done *done;
	void *data;
	bool reply_wanted;
	char text[100];
} seen;

/* What it gives. */
static farcall_code code_given;
static const ProtobufCMessage *message_given;

static farcall_call *const the_call = (farcall_call *)&seen;

static farcall_code
note(const char *function, farcall_call *call, const ProtobufCMessage *message)
{
	seen.function = function;
	seen.call = call;
	seen.message = message;
	return code_given;
}

static farcall_code
give(const char *function, farcall_call *call, const ProtobufCMessage *message,
    const ProtobufCMessage **shown)
{
	if (shown != NULL && code_given == FARCALL_OK)
		*shown = message_given;
	seen.reply_wanted = shown != NULL;
	return note(function, call, message);
}

farcall_code
farcall_call_invoke(farcall_call *call, const farcall_method *method,
    const ProtobufCMessage *request, const ProtobufCMessage **reply)
{
	seen.method = method;
	return give("invoke", call, request, reply);
}

farcall_code
farcall_call_start(
    farcall_call *call, const farcall_method *method, const ProtobufCMessage *request)
{
	seen.method = method;
	return note("start", call, request);
}

farcall_code
farcall_call_send(farcall_call *call, const ProtobufCMessage *message)
{
	return note("send", call, message);
}

farcall_code
farcall_call_recv(farcall_call *call, const ProtobufCMessage **message)
{
	return give("recv", call, NULL, message);
}

farcall_code
farcall_call_finish(farcall_call *call, const ProtobufCMessage **reply)
{
	return give("finish", call, NULL, reply);
}

farcall_code
farcall_call_send_reply(farcall_call *call, const ProtobufCMessage *reply)
{
	return note("send_reply", call, reply);
}

void
farcall_call_send_async(
    farcall_call *call, const ProtobufCMessage *message, farcall_done *done, void *data)
{
	seen.done = done;
	seen.data = data;
	note("send_async", call, message);
}

void
farcall_call_finish_async(farcall_call *call, farcall_done *done, void *data)
{
	seen.done = done;
	seen.data = data;
	note("finish_async", call, NULL);
}

static void
note_typed(farcall_thunk *thunk, farcall_function *done, void *data)
{
	seen.thunk = thunk;
	seen.typed = done;
	seen.data = data;
}

void
farcall_call_invoke_typed(farcall_call *call, const farcall_method *method,
    const ProtobufCMessage *request, farcall_thunk *thunk, farcall_function *done, void *data)
{
	seen.method = method;
	note_typed(thunk, done, data);
	note("invoke_typed", call, request);
}

void
farcall_call_recv_typed(
    farcall_call *call, farcall_thunk *thunk, farcall_function *done, void *data)
{
	note_typed(thunk, done, data);
	note("recv_typed", call, NULL);
}

void
farcall_call_finish_typed(
    farcall_call *call, farcall_thunk *thunk, farcall_function *done, void *data)
{
	note_typed(thunk, done, data);
	note("finish_typed", call, NULL);
}

farcall_code
farcall_call_fail(farcall_call *call, farcall_code code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(seen.text, sizeof seen.text, format, arguments);
	va_end(arguments);
	note("fail", call, NULL);
	return code;
}

static const farcall_interface *registered;
static const void *registered_ops;
static size_t registered_size;

farcall_service *
farcall_server_register(farcall_server *server, const farcall_interface *iface, const void *ops,
    size_t ops_size, void *self)
{
	(void)server;
	registered = iface;
	registered_ops = ops;
	registered_size = ops_size;
	return (farcall_service *)self;
}

static void
expect_seen(const char *function, const void *message)
{
	assert_non_null(seen.function);
	assert_string_equal(seen.function, function);
	assert_ptr_equal(seen.call, the_call);
	assert_ptr_equal(seen.message, message);
	seen.function = NULL;
}

/* ---- handlers ---- */

static const void *handled_request;
static void *handled_reply;

static farcall_code
one(farcall_call *call, const ask *request, answer *reply)
{
	assert_ptr_equal(call, the_call);
	handled_request = request;
	handled_reply = reply;
	return FARCALL_NOT_FOUND;
}

static farcall_code
many_in(farcall_call *call, answer *reply)
{
	assert_ptr_equal(call, the_call);
	handled_reply = reply;
	return FARCALL_ABORTED;
}

static farcall_code
many_out(farcall_call *call, const ask *request)
{
	assert_ptr_equal(call, the_call);
	handled_request = request;
	return FARCALL_DATA_LOSS;
}

static farcall_code
both_ways(farcall_call *call)
{
	assert_ptr_equal(call, the_call);
	return FARCALL_PENDING;
}

static const struct golden_shapes_shapes handlers = {
    .one = one, .many_in = many_in, .many_out = many_out, .both_ways = both_ways};

static void
test_dispatch(void **state)
{
	const farcall_method *methods = golden_shapes_shapes__methods;
	ask request = GOLDEN__SHAPES__ASK__INIT;
	answer reply = GOLDEN__SHAPES__ANSWER__INIT;

	(void)state;
	assert_int_equal(methods[0].dispatch(the_call, &handlers, &request.base, &reply.base),
	    FARCALL_NOT_FOUND);
	assert_ptr_equal(handled_request, &request);
	assert_ptr_equal(handled_reply, &reply);
	handled_request = handled_reply = NULL;
	assert_int_equal(
	    methods[1].dispatch(the_call, &handlers, NULL, &reply.base), FARCALL_ABORTED);
	assert_ptr_equal(handled_reply, &reply);
	assert_int_equal(
	    methods[2].dispatch(the_call, &handlers, &request.base, NULL), FARCALL_DATA_LOSS);
	assert_ptr_equal(handled_request, &request);
	assert_int_equal(methods[3].dispatch(the_call, &handlers, NULL, NULL), FARCALL_PENDING);
	assert_int_equal(methods[4].dispatch(the_call, &handlers, &request.base, &reply.base),
	    FARCALL_UNIMPLEMENTED);
	expect_seen("fail", NULL);
	assert_string_equal(seen.text, "golden.shapes.Shapes.Read is not implemented");
}

static farcall_code
on_delete(farcall_call *call, const Golden__Verbs__Item *request, Golden__Verbs__Item *reply)
{
	assert_ptr_equal(call, the_call);
	reply->name = request->name;
	return FARCALL_OK;
}

static farcall_code
on_export(farcall_call *call, const Golden__Verbs__Item *request)
{
	(void)call, (void)request;
	return FARCALL_DATA_LOSS;
}

static farcall_code
on_new(farcall_call *call, Golden__Verbs__Item *reply)
{
	(void)call, (void)reply;
	return FARCALL_ABORTED;
}

/* Delete, Export, New: no keywords of C. */
static void
test_verbs(void **state)
{
	const struct golden_verbs_store verbs = {
	    .delete_ = on_delete, .export_ = on_export, .new_ = on_new};
	const farcall_method *methods = golden_verbs_store__methods;
	static char name[] = "a";
	Golden__Verbs__Item request = GOLDEN__VERBS__ITEM__INIT, reply = request;

	(void)state;
	request.name = name;
	assert_int_equal(
	    methods[0].dispatch(the_call, &verbs, &request.base, &reply.base), FARCALL_OK);
	assert_ptr_equal(reply.name, name);
	assert_int_equal(
	    methods[1].dispatch(the_call, &verbs, &request.base, NULL), FARCALL_DATA_LOSS);
	assert_int_equal(methods[2].dispatch(the_call, &verbs, NULL, &reply.base), FARCALL_ABORTED);
	assert_string_equal(methods[0].path, "/golden.verbs.Store/Delete");
	assert_int_equal(methods[3].ops_offset, offsetof(struct golden_verbs_store, co_await_));
	assert_int_equal(methods[5].ops_offset, offsetof(struct golden_verbs_store, delete1));
	assert_int_equal(golden_verbs_store_delete(the_call, &request, NULL), FARCALL_OK);
	assert_ptr_equal(seen.method, &methods[0]);
}

static void
test_register(void **state)
{
	int self;

	(void)state;
	assert_ptr_equal(golden_shapes_shapes__register(NULL, &handlers, &self), &self);
	assert_ptr_equal(registered, &golden_shapes_shapes__interface);
	assert_ptr_equal(registered_ops, &handlers);
	assert_int_equal(registered_size, sizeof handlers);
}

/* ---- tables ---- */

static void
test_tables(void **state)
{
	static const farcall_shape shapes[] = {FARCALL_UNARY, FARCALL_CLIENT_STREAM,
	    FARCALL_SERVER_STREAM, FARCALL_BIDI_STREAM, FARCALL_UNARY, FARCALL_UNARY};
	const farcall_interface *iface = &golden_shapes_shapes__interface;
	size_t i;

	(void)state;
	assert_int_equal(iface->abi, FARCALL_INTERFACE_ABI);
	assert_int_equal(iface->method_size, sizeof(farcall_method));
	assert_string_equal(iface->name, "golden.shapes.Shapes");
	assert_int_equal(iface->n_methods, 6);
	for (i = 0; i < iface->n_methods; i++) {
		const farcall_method *method = &iface->methods[i];

		assert_ptr_equal(method->request, &golden__shapes__ask__descriptor);
		assert_ptr_equal(method->reply, &golden__shapes__answer__descriptor);
		assert_int_equal(method->shape, shapes[i]);
		assert_int_equal(method->ops_offset, i * sizeof(farcall_code(*)(void)));
	}
	assert_string_equal(iface->methods[3].name, "BothWays");
	assert_string_equal(iface->methods[3].path, "/golden.shapes.Shapes/BothWays");
	assert_int_equal(iface->methods[3].flags, 0);
	assert_int_equal(iface->methods[4].flags, FARCALL_METHOD_NO_SIDE_EFFECTS);
	assert_int_equal(
	    iface->methods[5].flags, FARCALL_METHOD_IDEMPOTENT | FARCALL_METHOD_DEPRECATED);
	assert_int_equal(golden_shapes_later__interface.n_methods, 0);
	assert_string_equal(s__interface.name, "S");
	assert_string_equal(s__methods[0].path, "/S/a");
	/* A C package changes names in C, not on the wire. */
	assert_string_equal(
	    short_name_thing_service__interface.name, "golden.options.ThingService");
	assert_ptr_equal(
	    short_name_thing_service__methods[0].reply, &short__name__thing__in_side__descriptor);
}

/* The file itself first, then all that it imports, without comments and places. */
static void
test_files(void **state)
{
	static const char *const names[] = {"imports.proto", "google/protobuf/any.proto",
	    "google/protobuf/empty.proto", "google/protobuf/struct.proto",
	    "google/protobuf/timestamp.proto", "google/protobuf/wrappers.proto",
	    "sub/other_package.proto", "sub/types.proto"};
	const farcall_interface *iface = &golden_imports_clock__interface;
	size_t i;

	(void)state;
	assert_int_equal(iface->n_files, sizeof names / sizeof names[0]);
	for (i = 0; i < iface->n_files; i++) {
		Google__Protobuf__FileDescriptorProto *file =
		    google__protobuf__file_descriptor_proto__unpack(
		        NULL, iface->files[i].len, iface->files[i].data);

		assert_non_null(file);
		assert_string_equal(file->name, names[i]);
		assert_null(file->source_code_info);
		google__protobuf__file_descriptor_proto__free_unpacked(file, NULL);
	}
}

/* ---- stubs ---- */

static void
test_unary(void **state)
{
	ask request = GOLDEN__SHAPES__ASK__INIT;
	answer given = GOLDEN__SHAPES__ANSWER__INIT;
	const answer *reply = NULL;

	(void)state;
	message_given = &given.base;
	assert_int_equal(golden_shapes_shapes_one(the_call, &request, &reply), FARCALL_OK);
	expect_seen("invoke", &request);
	assert_ptr_equal(seen.method, &golden_shapes_shapes__methods[0]);
	assert_ptr_equal(reply, &given);
	assert_int_equal(golden_shapes_shapes_one(the_call, &request, NULL), FARCALL_OK);
	/* An output is untouched on failure. */
	code_given = FARCALL_UNAVAILABLE;
	assert_int_equal(
	    golden_shapes_shapes_read(the_call, &request, &reply), FARCALL_UNAVAILABLE);
	assert_ptr_equal(seen.method, &golden_shapes_shapes__methods[4]);
	assert_ptr_equal(reply, &given);
	assert_int_equal(
	    golden_shapes_shapes_one__send_reply(the_call, &given), FARCALL_UNAVAILABLE);
	expect_seen("send_reply", &given);
	code_given = FARCALL_OK;
}

static void
test_streams(void **state)
{
	ask request = GOLDEN__SHAPES__ASK__INIT;
	answer reply = GOLDEN__SHAPES__ANSWER__INIT;
	const answer *got_reply = NULL;
	const ask *got_request = NULL;

	(void)state;
	assert_int_equal(golden_shapes_shapes_many_in__start(the_call), FARCALL_OK);
	expect_seen("start", NULL);
	assert_ptr_equal(seen.method, &golden_shapes_shapes__methods[1]);
	golden_shapes_shapes_many_in__send_request(the_call, &request);
	expect_seen("send", &request);
	message_given = &reply.base;
	golden_shapes_shapes_many_in__finish(the_call, &got_reply);
	expect_seen("finish", NULL);
	assert_true(seen.reply_wanted);
	assert_ptr_equal(got_reply, &reply);
	message_given = &request.base;
	golden_shapes_shapes_many_in__recv_request(the_call, &got_request);
	expect_seen("recv", NULL);
	assert_ptr_equal(got_request, &request);
	golden_shapes_shapes_many_in__send_reply(the_call, &reply);
	expect_seen("send_reply", &reply);

	golden_shapes_shapes_many_out__start(the_call, &request);
	expect_seen("start", &request);
	assert_ptr_equal(seen.method, &golden_shapes_shapes__methods[2]);
	code_given = FARCALL_END;
	assert_int_equal(
	    golden_shapes_shapes_many_out__recv_reply(the_call, &got_reply), FARCALL_END);
	expect_seen("recv", NULL);
	code_given = FARCALL_OK;
	golden_shapes_shapes_many_out__finish(the_call);
	expect_seen("finish", NULL);
	assert_false(seen.reply_wanted);
	golden_shapes_shapes_many_out__send_reply(the_call, &reply);
	expect_seen("send", &reply);

	golden_shapes_shapes_both_ways__start(the_call);
	expect_seen("start", NULL);
	assert_ptr_equal(seen.method, &golden_shapes_shapes__methods[3]);
	golden_shapes_shapes_both_ways__send_request(the_call, &request);
	expect_seen("send", &request);
	golden_shapes_shapes_both_ways__send_reply(the_call, &reply);
	expect_seen("send", &reply);
	golden_shapes_shapes_both_ways__finish(the_call);
	expect_seen("finish", NULL);
}

/* ---- callbacks ---- */

static struct {
	unsigned times;
	farcall_code code;
	const void *message;
	void *data;
} came;

static void
come(farcall_code code, const void *message, void *data)
{
	came.times++;
	came.code = code;
	came.message = message;
	came.data = data;
}

static void
on_answer(farcall_call *call, farcall_code code, const answer *reply, void *data)
{
	assert_ptr_equal(call, the_call);
	come(code, reply, data);
}

static void
on_ask(farcall_call *call, farcall_code code, const ask *request, void *data)
{
	assert_ptr_equal(call, the_call);
	come(code, request, data);
}

static void
on_done(farcall_call *call, farcall_code code, const ProtobufCMessage *message, void *data)
{
	assert_ptr_equal(call, the_call);
	come(code, message, data);
}

/* The runtime calls the thunk once, with what it was given; the callback then comes once. */
static void
expect_typed(const char *function, const void *sent, const void *shown, void *data)
{
	expect_seen(function, sent);
	assert_int_equal(came.times, 0);
	seen.thunk(
	    the_call, FARCALL_INTERNAL, (const ProtobufCMessage *)shown, seen.typed, seen.data);
	assert_int_equal(came.times, 1);
	assert_int_equal(came.code, FARCALL_INTERNAL);
	assert_ptr_equal(came.message, shown);
	assert_ptr_equal(came.data, data);
	came.times = 0;
}

static void
test_typed_callbacks(void **state)
{
	ask request = GOLDEN__SHAPES__ASK__INIT;
	answer reply = GOLDEN__SHAPES__ANSWER__INIT;
	int data;

	(void)state;
	golden_shapes_shapes_one__async(the_call, &request, on_answer, &data);
	assert_ptr_equal(seen.method, &golden_shapes_shapes__methods[0]);
	expect_typed("invoke_typed", &request, &reply, &data);
	golden_shapes_shapes_many_in__finish__async(the_call, on_answer, &data);
	expect_typed("finish_typed", NULL, &reply, &data);
	golden_shapes_shapes_many_in__recv_request__async(the_call, on_ask, &data);
	expect_typed("recv_typed", NULL, &request, &data);
	golden_shapes_shapes_many_out__recv_reply__async(the_call, on_answer, &data);
	expect_typed("recv_typed", NULL, &reply, &data);
	golden_shapes_shapes_both_ways__recv_reply__async(the_call, on_answer, &data);
	expect_typed("recv_typed", NULL, NULL, &data);
	golden_shapes_shapes_both_ways__recv_request__async(the_call, on_ask, &data);
	expect_typed("recv_typed", NULL, &request, &data);
	/* Nobody wants to know. */
	golden_shapes_shapes_one__async(the_call, &request, NULL, NULL);
	seen.thunk(the_call, FARCALL_OK, &reply.base, seen.typed, seen.data);
	assert_int_equal(came.times, 0);
}

static void
test_plain_callbacks(void **state)
{
	ask request = GOLDEN__SHAPES__ASK__INIT;
	answer reply = GOLDEN__SHAPES__ANSWER__INIT;
	int data;

	(void)state;
	golden_shapes_shapes_both_ways__send_request__async(the_call, &request, on_done, &data);
	expect_seen("send_async", &request);
	assert_ptr_equal(seen.data, &data);
	assert_true(seen.done == on_done);
	golden_shapes_shapes_many_out__send_reply__async(the_call, &reply, on_done, &data);
	expect_seen("send_async", &reply);
	golden_shapes_shapes_many_out__finish__async(the_call, on_done, &data);
	expect_seen("finish_async", NULL);
	assert_ptr_equal(seen.data, &data);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_dispatch),
	    cmocka_unit_test(test_verbs),
	    cmocka_unit_test(test_register),
	    cmocka_unit_test(test_tables),
	    cmocka_unit_test(test_files),
	    cmocka_unit_test(test_unary),
	    cmocka_unit_test(test_streams),
	    cmocka_unit_test(test_typed_callbacks),
	    cmocka_unit_test(test_plain_callbacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
