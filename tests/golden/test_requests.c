/*
 * test_requests.c: protoc-gen-farcall fed by hand. protoc sends it sound requests; anybody may send
 * others. Whatever comes, it answers or says what is wrong and exits with 1; it never dies.
 *
 *   test_requests PLUGIN FOLDER
 */
#include "tests/support/test.h"

#include "google/protobuf/compiler/plugin.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#define MOST_INPUT ((size_t)64 << 20)
#define MOST_DEPTH 100

typedef Google__Protobuf__Compiler__CodeGeneratorRequest request_message;
typedef Google__Protobuf__Compiler__CodeGeneratorResponse response_message;

static const char *plugin, *folder;

/* A sound request: t.proto with package t, message M and service S { rpc Ping(M) returns (M); }. */
typedef struct sound {
	Google__Protobuf__MethodDescriptorProto method, *methods[1];
	Google__Protobuf__ServiceDescriptorProto service, *services[1];
	Google__Protobuf__DescriptorProto message, *messages[1];
	Google__Protobuf__FileOptions options;
	Google__Protobuf__FileDescriptorProto file, *files[2];
	char *wanted[1], *imports[1];
	request_message request;
	ProtobufCMessageUnknownField unknown;
} sound;

static char t_proto[] = "t.proto", t[] = "t", m[] = "M", s[] = "S", ping[] = "Ping", t_m[] = ".t.M",
            proto3[] = "proto3";

static void
make_sound(sound *it)
{
	google__protobuf__method_descriptor_proto__init(&it->method);
	it->method.name = ping;
	it->method.input_type = it->method.output_type = t_m;
	google__protobuf__service_descriptor_proto__init(&it->service);
	it->service.name = s;
	it->service.n_method = 1;
	it->methods[0] = &it->method;
	it->service.method = it->methods;
	google__protobuf__descriptor_proto__init(&it->message);
	it->message.name = m;
	google__protobuf__file_options__init(&it->options);
	google__protobuf__file_descriptor_proto__init(&it->file);
	it->file.name = t_proto;
	it->file.package = t;
	it->file.syntax = proto3;
	it->file.options = &it->options;
	it->file.n_message_type = it->file.n_service = 1;
	it->messages[0] = &it->message;
	it->services[0] = &it->service;
	it->file.message_type = it->messages;
	it->file.service = it->services;
	google__protobuf__compiler__code_generator_request__init(&it->request);
	it->request.n_file_to_generate = it->request.n_proto_file = 1;
	it->wanted[0] = t_proto;
	it->request.file_to_generate = it->wanted;
	it->files[0] = it->files[1] = &it->file;
	it->request.proto_file = it->files;
}

static uint8_t *
slurp(const char *name, size_t *size)
{
	char path[1024];
	uint8_t *bytes;
	FILE *file;
	long end;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	file = fopen(path, "rb");
	assert_non_null(file);
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	end = ftell(file);
	assert_true(end >= 0);
	rewind(file);
	bytes = malloc((size_t)end + 1);
	assert_non_null(bytes);
	assert_int_equal(fread(bytes, 1, (size_t)end, file), end);
	bytes[end] = '\0';
	fclose(file);
	*size = (size_t)end;
	return bytes;
}

/* The plugin's exit code. Its output lies in the files out and err. */
static int
feed(const uint8_t *bytes, size_t size)
{
	char command[4096];
	FILE *file;
	int status;

	snprintf(command, sizeof command, "%s/in", folder);
	file = fopen(command, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
	snprintf(command, sizeof command, "'%s' <'%s/in' >'%s/out' 2>'%s/err'", plugin, folder,
	    folder, folder);
	status = system(command);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static uint8_t *
pack(const sound *it, size_t *size)
{
	uint8_t *bytes;

	*size = google__protobuf__compiler__code_generator_request__get_packed_size(&it->request);
	bytes = malloc(*size + 1);
	assert_non_null(bytes);
	google__protobuf__compiler__code_generator_request__pack(&it->request, bytes);
	return bytes;
}

static void
expect_death(const uint8_t *bytes, size_t size, const char *text)
{
	size_t length;
	char *said;

	assert_int_equal(feed(bytes, size), 1);
	said = (char *)slurp("err", &length);
	if (strstr(said, text) == NULL)
		fail_msg("expected \"%s\", it said \"%s\"", text, said);
	free(said);
	free(slurp("out", &length));
	assert_int_equal(length, 0);
}

/* Exit 1 and `text` on standard error. */
static void
dies(const sound *it, const char *text)
{
	size_t size;
	uint8_t *bytes = pack(it, &size);

	expect_death(bytes, size, text);
	free(bytes);
}

/* Exit 0 and the response's error is `text`; NULL: it has files instead. */
static void
answers(const sound *it, const char *text)
{
	response_message *response;
	size_t size;
	uint8_t *bytes = pack(it, &size);

	assert_int_equal(feed(bytes, size), 0);
	free(bytes);
	bytes = slurp("out", &size);
	response = google__protobuf__compiler__code_generator_response__unpack(NULL, size, bytes);
	free(bytes);
	assert_non_null(response);
	assert_int_equal(response->supported_features, 1);
	if (text == NULL) {
		assert_null(response->error);
		assert_int_equal(response->n_file, 2 * it->request.n_file_to_generate);
	} else {
		assert_non_null(response->error);
		assert_string_equal(response->error, text);
		assert_int_equal(response->n_file, 0);
	}
	google__protobuf__compiler__code_generator_response__free_unpacked(response, NULL);
}

static void
test_sound(void **state)
{
	sound it;

	(void)state;
	make_sound(&it);
	answers(&it, NULL);
	it.request.n_file_to_generate = 0;
	answers(&it, NULL);
}

static void
test_nothing_and_rubbish(void **state)
{
	uint8_t bytes[300] = {0};
	test_random random;
	size_t i, round;

	(void)state;
	test_random_seed(&random, 1);
	expect_death(bytes, 0, "reads a CodeGeneratorRequest from standard input");
	for (round = 0; round < 50; round++) {
		for (i = 0; i < sizeof bytes; i++)
			bytes[i] = (uint8_t)test_random_below(&random, 256);
		expect_death(bytes, sizeof bytes, "bad request: ");
	}
}

static void
test_truncated_and_damaged(void **state)
{
	test_random random;
	uint8_t *bytes;
	size_t size, cut;
	sound it;

	(void)state;
	test_random_seed(&random, 2);
	make_sound(&it);
	bytes = pack(&it, &size);
	for (cut = 0; cut < size; cut++)
		assert_in_range(feed(bytes, cut), 0, 1);
	expect_death(bytes, size - 1, "bad request: not a CodeGeneratorRequest: truncated");
	for (cut = 0; cut < 200; cut++) {
		uint8_t *byte, before;

		byte = &bytes[test_random_below(&random, (uint32_t)size)];
		before = *byte;
		*byte ^= (uint8_t)(1u << test_random_below(&random, 8));
		assert_in_range(feed(bytes, size), 0, 1);
		*byte = before;
	}
	free(bytes);
}

/* A request of `depth` messages, one in the other: request, file, message, nested messages. */
static uint8_t *
make_deep(size_t depth, size_t *size)
{
	size_t room = depth * 6 + 64, from = room, i;
	uint8_t *bytes = malloc(room), *made;

	assert_non_null(bytes);
	for (i = depth; i > 1; i--) {
		size_t inner = room - from, length = inner, n = 0;
		uint8_t varint[10];

		do
			varint[n++] = (uint8_t)((length & 0x7f) | (length > 0x7f ? 0x80 : 0));
		while ((length >>= 7) != 0);
		from -= n;
		memcpy(bytes + from, varint, n);
		/* nested_type = 3 of a message, message_type = 4 of a file, proto_file = 15 */
		bytes[--from] = i == 2 ? 15 << 3 | 2 : i == 3 ? 4 << 3 | 2 : 3 << 3 | 2;
	}
	*size = room - from;
	made = malloc(*size + 1);
	assert_non_null(made);
	memcpy(made, bytes + from, *size);
	free(bytes);
	return made;
}

static void
test_depth(void **state)
{
	uint8_t *bytes;
	size_t size;

	(void)state;
	bytes = make_deep(MOST_DEPTH, &size);
	expect_death(bytes, size, "bad request: a file without a name");
	free(bytes);
	bytes = make_deep(MOST_DEPTH + 1, &size);
	expect_death(bytes, size, "nested too deep");
	free(bytes);
	bytes = make_deep(1000000, &size);
	expect_death(bytes, size, "nested too deep");
	free(bytes);
}

/* A request with a field that nobody knows, filled up to `size` bytes. */
static uint8_t *
make_large(size_t size)
{
	static const uint8_t tag[] = {0xa2, 0x06}; /* field 100, length-delimited */
	uint8_t *bytes = calloc(size, 1);
	size_t length = size - sizeof tag - 4;
	int i;

	assert_non_null(bytes);
	memcpy(bytes, tag, sizeof tag);
	for (i = 0; i < 4; i++)
		bytes[2 + i] = (uint8_t)((length >> (7 * i) & 0x7f) | (i < 3 ? 0x80 : 0));
	return bytes;
}

static void
test_size(void **state)
{
	size_t size = MOST_INPUT, i;
	uint8_t *bytes = make_large(size);

	(void)state;
	assert_int_equal(feed(bytes, size), 0);
	free(bytes);
	bytes = make_large(size + 1);
	expect_death(bytes, size + 1, "larger than 67108864 bytes");
	free(bytes);
	/* Small bytes that make large structs. */
	size = (size_t)32 << 20;
	bytes = malloc(size);
	assert_non_null(bytes);
	for (i = 0; i < size; i += 2) {
		bytes[i] = 15 << 3 | 2;
		bytes[i + 1] = 0;
	}
	expect_death(bytes, size, "too large");
	free(bytes);
}

static void
test_files(void **state)
{
	static char other[] = "other.proto", quote[] = "a\"b.proto", line[] = "a\nb.proto";
	sound it;

	(void)state;
	make_sound(&it);
	it.wanted[0] = other;
	dies(&it, "other.proto is to be generated, but is not there");
	make_sound(&it);
	it.request.n_proto_file = 2;
	dies(&it, "t.proto is there twice");
	make_sound(&it);
	it.imports[0] = other;
	it.file.n_dependency = 1;
	it.file.dependency = it.imports;
	dies(&it, "t.proto imports other.proto, which is not there");
	make_sound(&it);
	it.imports[0] = t_proto; /* itself: no end of it */
	it.file.n_dependency = 1;
	it.file.dependency = it.imports;
	answers(&it, NULL);
	make_sound(&it);
	it.file.name = NULL;
	dies(&it, "a file without a name");
	it.file.name = quote;
	dies(&it, "a file name with byte 0x22 at 1");
	it.file.name = line;
	dies(&it, "a file name with byte 0x0a at 1");
}

static void
test_names(void **state)
{
	static char bad[] = "X\"; evil()", packages[] = "a..b", absent[] = ".t.Absent";
	sound it;

	(void)state;
	make_sound(&it);
	it.service.name = bad;
	dies(&it, "bad request: t.proto: a service without a proper name");
	it.service.name = NULL;
	dies(&it, "bad request: t.proto: a service without a proper name");
	make_sound(&it);
	it.method.name = bad;
	dies(&it, "bad request: t.proto: a method without a proper name");
	make_sound(&it);
	it.message.name = NULL;
	dies(&it, "bad request: t.proto: a message without a proper name");
	make_sound(&it);
	it.file.package = bad;
	dies(&it, "bad request: t.proto: bad package name");
	it.file.package = packages;
	dies(&it, "bad request: t.proto: bad package name");
	make_sound(&it);
	it.method.input_type = NULL;
	dies(&it, "bad request: t.S.Ping: no message named");
	it.method.input_type = absent;
	dies(&it, "bad request: t.S.Ping: no message .t.Absent");
}

static void
test_syntax(void **state)
{
	static char editions[] = "editions", proto4[] = "proto4", proto2[] = "proto2";
	sound it;

	(void)state;
	make_sound(&it);
	it.file.syntax = editions;
	answers(&it, "t.proto:1:1: editions are not supported; use proto2 or proto3");
	it.file.syntax = proto4;
	answers(&it, "t.proto:1:1: unknown syntax; use proto2 or proto3");
	it.file.syntax = proto2;
	answers(&it, NULL);
	it.file.syntax = NULL;
	answers(&it, NULL);
}

/* option (pb_c_file), extension 1019 of the file's options, by its bytes after the length. */
static void
set_option(sound *it, const char *bytes, size_t size)
{
	static uint8_t field[64];

	make_sound(it);
	field[0] = (uint8_t)size;
	memcpy(field + 1, bytes, size);
	it->unknown.tag = 1019;
	it->unknown.wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
	it->unknown.len = size + 1;
	it->unknown.data = field;
	it->options.base.n_unknown_fields = 1;
	it->options.base.unknown_fields = &it->unknown;
}

static void
test_options(void **state)
{
	sound it;

	(void)state;
	set_option(&it,
	    "\x32\x03"
	    "a.b",
	    5);
	answers(&it, NULL);
	set_option(&it,
	    "\x32\x09"
	    "a.b",
	    5);
	dies(&it, "bad request: t.proto: option (pb_c_file) cannot be read");
	set_option(&it,
	    "\x31\x03"
	    "a.b",
	    5);
	dies(&it, "bad request: t.proto: option (pb_c_file) cannot be read");
	set_option(&it,
	    "\x32\x03"
	    "a;b",
	    5);
	answers(&it, "t.proto:1:1: c_package must be names joined by dots");
	set_option(&it, "\x32\x00", 2);
	answers(&it, "t.proto:1:1: c_package must be names joined by dots");
	set_option(&it, "\x08\x01\x08\x00", 4);
	answers(&it, NULL);
	set_option(&it, "\x08", 1);
	dies(&it, "bad request: t.proto: option (pb_c_file) cannot be read");
}

static void
test_parameters(void **state)
{
	static char good[] = "dllexport_decl=MY_API,", unknown[] = "dllexport_declx=a",
	            empty[] = "dllexport_decl", shorter[] = "dllexport=a";
	sound it;

	(void)state;
	make_sound(&it);
	it.request.parameter = good;
	answers(&it, NULL);
	it.request.parameter = unknown;
	answers(&it, "unknown parameter 'dllexport_declx'; known is dllexport_decl");
	it.request.parameter = shorter;
	answers(&it, "unknown parameter 'dllexport'; known is dllexport_decl");
	it.request.parameter = empty;
	answers(&it, "parameter dllexport_decl: '' is no name of a macro");
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sound),
	    cmocka_unit_test(test_nothing_and_rubbish),
	    cmocka_unit_test(test_truncated_and_damaged),
	    cmocka_unit_test(test_depth),
	    cmocka_unit_test(test_size),
	    cmocka_unit_test(test_files),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_syntax),
	    cmocka_unit_test(test_options),
	    cmocka_unit_test(test_parameters),
	};

	if (argc != 3) {
		fprintf(stderr, "use: test_requests PLUGIN FOLDER\n");
		return 1;
	}
	plugin = argv[1];
	folder = argv[2];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
