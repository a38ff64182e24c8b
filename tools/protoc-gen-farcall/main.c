/*
 * main.c: protoc-gen-farcall, the plugin behind `protoc --farcall_out=DIR`.
 *
 * Reads a google.protobuf.compiler.CodeGeneratorRequest from standard input and writes a
 * CodeGeneratorResponse to standard output: X.farcall.h and X.farcall.c for every X.proto, whether
 * it has services or not. What is wrong in a .proto goes into the response's error, as
 * "file:line:column: text". A request that makes no sense is told on standard error, exit 1.
 */
#include "plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#endif

#define MOST_INPUT ((size_t)64u << 20)

typedef Google__Protobuf__Compiler__CodeGeneratorRequest fc_request;
typedef Google__Protobuf__Compiler__CodeGeneratorResponse fc_response;
typedef Google__Protobuf__Compiler__CodeGeneratorResponse__File fc_response_file;

static uint8_t *
read_all(fc_run *run, size_t *size)
{
	size_t room = (size_t)1 << 16, got;
	uint8_t *bytes = (uint8_t *)fc_take(run, room, 1);

	*size = 0;
	while ((got = fread(bytes + *size, 1, room - *size, stdin)) != 0) {
		uint8_t *more;

		*size += got;
		if (*size > MOST_INPUT)
			fc_die("bad request: larger than %u bytes", (unsigned)MOST_INPUT);
		if (*size < room)
			continue;
		room *= 2;
		more = (uint8_t *)fc_take(run, room, 1);
		memcpy(more, bytes, *size);
		bytes = more;
	}
	if (ferror(stdin))
		fc_die("cannot read standard input");
	return bytes;
}

static void
read_request(fc_run *run)
{
	const ProtobufCMessageDescriptor *descriptor =
	    &google__protobuf__compiler__code_generator_request__descriptor;
	ProtobufCAllocator allocator = fc_run_allocator(run);
	const char *error;
	uint8_t *bytes;
	size_t size;

	bytes = read_all(run, &size);
	if (size == 0)
		fc_die("reads a CodeGeneratorRequest from standard input: use protoc "
		       "--farcall_out=DIR FILE.proto");
	error = fc_guard(descriptor, bytes, size);
	if (error != NULL)
		fc_die("bad request: not a CodeGeneratorRequest: %s", error);
	run->request =
	    (const fc_request *)protobuf_c_message_unpack(descriptor, &allocator, size, bytes);
	if (run->request == NULL)
		fc_die("bad request: not a CodeGeneratorRequest: damaged");
}

/* NULL, or what is wrong with the parameters: "name=value,name=value". */
static const char *
read_parameters(fc_run *run, const char *at)
{
	while (at != NULL && *at != '\0') {
		size_t size = strcspn(at, ","), name = strcspn(at, ",=");
		const char *value = at + name + (at[name] == '=');
		size_t value_size = size - (size_t)(value - at);

		if (size == 0) {
			at++;
			continue;
		}
		if (name != strlen("dllexport_decl") || memcmp(at, "dllexport_decl", name) != 0)
			return fc_say(run, "unknown parameter '%.*s'; known is dllexport_decl",
			    (int)name, at);
		if (!fc_is_name(value, value_size))
			return fc_say(run, "parameter dllexport_decl: '%.*s' is no name of a macro",
			    (int)value_size, value);
		run->export_word = fc_say(run, "%.*s ", (int)value_size, value);
		at += size;
	}
	return NULL;
}

static fc_response_file *
new_file(fc_run *run, const char *name, char *content)
{
	fc_response_file *file = (fc_response_file *)fc_take(run, 1, sizeof *file);

	google__protobuf__compiler__code_generator_response__file__init(file);
	file->name = fc_say(run, "%s", name);
	file->content = content;
	return file;
}

static void
emit(fc_run *run, fc_response *response)
{
	size_t i;

	response->file =
	    (fc_response_file **)fc_take(run, run->n_files * 2 + 1, sizeof *response->file);
	for (i = 0; i < run->n_files; i++) {
		const fc_file *file = &run->files[i];

		if (!file->wanted)
			continue;
		response->file[response->n_file++] = new_file(
		    run, fc_say(run, "%s.farcall.h", file->base), fc_emit_header(run, file));
		response->file[response->n_file++] = new_file(
		    run, fc_say(run, "%s.farcall.c", file->base), fc_emit_source(run, file));
	}
}

static void
write_response(fc_run *run, const fc_response *response)
{
	size_t size = protobuf_c_message_get_packed_size(&response->base);
	uint8_t *bytes = (uint8_t *)fc_take(run, size + 1, 1);

	protobuf_c_message_pack(&response->base, bytes);
	if (fwrite(bytes, 1, size, stdout) != size || fflush(stdout) != 0)
		fc_die("cannot write standard output");
}

/* protoc gives no arguments; people do. */
static int
answer_person(const char *argument)
{
	if (strcmp(argument, "--version") == 0) {
		printf("protoc-gen-farcall %s\n", FARCALL_VERSION);
		return EXIT_SUCCESS;
	}
	fprintf(
	    stderr, "use: protoc --farcall_out=DIR FILE.proto, or protoc-gen-farcall --version\n");
	return EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
	fc_run run = {0};
	fc_response response = GOOGLE__PROTOBUF__COMPILER__CODE_GENERATOR_RESPONSE__INIT;
	const char *error;

	if (argc > 1)
		return answer_person(argv[1]);
#ifdef _WIN32
	_setmode(_fileno(stdin), _O_BINARY);
	_setmode(_fileno(stdout), _O_BINARY);
#endif
	run.export_word = "";
	response.has_supported_features = true;
	response.supported_features =
	    GOOGLE__PROTOBUF__COMPILER__CODE_GENERATOR_RESPONSE__FEATURE__FEATURE_PROTO3_OPTIONAL;
	read_request(&run);
	error = read_parameters(&run, run.request->parameter);
	if (error == NULL) {
		fc_model(&run);
		fc_check(&run);
		error = fc_refusals(&run);
	}
	if (error == NULL)
		emit(&run, &response);
	else
		response.error = fc_say(&run, "%s", error);
	write_response(&run, &response);
	fc_run_fini(&run);
	return EXIT_SUCCESS;
}
