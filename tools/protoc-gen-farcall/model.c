/*
 * model.c: turns a request into files with services and methods, named as they will be in C.
 *
 * protoc has checked what it sends, but anybody may run a plugin by hand: names that are absent, or
 * that could smuggle text into what is generated, end the run here. What is sound but cannot be
 * expressed in C is left to check.c.
 */
#include "plugin.h"

#include <stdlib.h>
#include <string.h>

/* google.protobuf.FileDescriptorProto, ServiceDescriptorProto: numbers of fields, for places. */
#define FIELD_SERVICE 6
#define FIELD_OPTIONS 8
#define FIELD_METHOD 2

#define PB_C_FILE 1019 /* extension of FileOptions, protobuf-c/protobuf-c.proto */
#define PB_C_FILE_NO_GENERATE 1
#define PB_C_FILE_C_PACKAGE 6

static int
compare_files(const void *a, const void *b)
{
	const fc_file *one = *(const fc_file *const *)a, *other = *(const fc_file *const *)b;

	return strcmp(one->name, other->name);
}

static int
compare_file_name(const void *key, const void *element)
{
	return strcmp((const char *)key, (*(const fc_file *const *)element)->name);
}

fc_file *
fc_find_file(const fc_run *run, const char *name)
{
	fc_file *const *found;

	if (run->n_files == 0)
		return NULL;
	found = (fc_file *const *)bsearch(
	    name, run->by_name, run->n_files, sizeof *run->by_name, compare_file_name);
	return found == NULL ? NULL : *found;
}

static int
compare_types(const void *a, const void *b)
{
	return strcmp(((const fc_type *)a)->full_name, ((const fc_type *)b)->full_name);
}

static int
compare_type_name(const void *key, const void *element)
{
	return strcmp((const char *)key, ((const fc_type *)element)->full_name);
}

/* What stands in an #include line, a comment and a file name: no quotes, nothing unprintable. */
static void
check_file_name(const char *name)
{
	const char *at;

	if (name == NULL || name[0] == '\0')
		fc_die("bad request: a file without a name");
	for (at = name; *at != '\0'; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f || *at == '"' || *at == '\\')
			fc_die("bad request: a file name with byte 0x%02x at %u",
			    (unsigned)(unsigned char)*at, (unsigned)(at - name));
}

static const char *
checked_name(const char *name, const char *what, const fc_file *file)
{
	if (name == NULL || !fc_is_name(name, strlen(name)))
		fc_die("bad request: %s: a %s without a proper name", file->name, what);
	return name;
}

static bool
read_varint(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
	unsigned shift;

	*value = 0;
	for (shift = 0; shift < 64 && *at < end; shift += 7) {
		uint8_t byte = *(*at)++;

		*value |= (uint64_t)(byte & 0x7f) << shift;
		if ((byte & 0x80) == 0)
			return true;
	}
	return false;
}

/* Reads a ProtobufCFileOptions, of which only the scalar kinds exist. */
static bool
read_file_options(fc_run *run, fc_file *file, const uint8_t *at, const uint8_t *end)
{
	while (at < end) {
		uint64_t tag, value;

		if (!read_varint(&at, end, &tag) || !read_varint(&at, end, &value))
			return false;
		if ((tag & 7) == PROTOBUF_C_WIRE_TYPE_VARINT) {
			if (tag >> 3 == PB_C_FILE_NO_GENERATE)
				file->no_generate = value != 0;
			continue;
		}
		if ((tag & 7) != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED ||
		    value > (uint64_t)(end - at))
			return false;
		if (tag >> 3 == PB_C_FILE_C_PACKAGE)
			file->c_package = fc_say(run, "%.*s", (int)value, (const char *)at);
		at += value;
	}
	return true;
}

static void
find_file_options(fc_run *run, fc_file *file)
{
	static const int32_t c_package[] = {FIELD_OPTIONS, PB_C_FILE, PB_C_FILE_C_PACKAGE};
	const ProtobufCMessage *options;
	unsigned i;

	if (file->proto->options == NULL)
		return;
	options = &file->proto->options->base;
	for (i = 0; i < options->n_unknown_fields; i++) {
		const ProtobufCMessageUnknownField *field = &options->unknown_fields[i];
		const uint8_t *at = field->data, *end = field->data + field->len;
		uint64_t size;

		if (field->tag != PB_C_FILE)
			continue;
		if (field->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED ||
		    !read_varint(&at, end, &size) || !read_file_options(run, file, at, end))
			fc_die("bad request: %s: option (pb_c_file) cannot be read", file->name);
	}
	if (file->c_package != NULL && !fc_is_dotted_name(file->c_package)) {
		fc_place place = fc_place_of(run, file, FC_COUNT(c_package), c_package);

		fc_refuse(run, &place, "c_package must be names joined by dots");
		file->c_package = NULL;
	}
}

static void
add_types(fc_run *run, const fc_file *file, const char *scope, fc_message_proto *const *messages,
    size_t n_messages)
{
	size_t i;

	for (i = 0; i < n_messages; i++) {
		fc_type *type = &run->types[run->n_types++];

		type->file = file;
		type->full_name =
		    fc_say(run, "%s.%s", scope, checked_name(messages[i]->name, "message", file));
		add_types(run, file, type->full_name, messages[i]->nested_type,
		    messages[i]->n_nested_type);
	}
}

static size_t
count_types(fc_message_proto *const *messages, size_t n_messages)
{
	size_t count = n_messages, i;

	for (i = 0; i < n_messages; i++)
		count += count_types(messages[i]->nested_type, messages[i]->n_nested_type);
	return count;
}

static void
model_types(fc_run *run)
{
	size_t count = 0, i;

	for (i = 0; i < run->n_files; i++)
		count += count_types(
		    run->files[i].proto->message_type, run->files[i].proto->n_message_type);
	run->types = (fc_type *)fc_take(run, count + 1, sizeof *run->types);
	for (i = 0; i < run->n_files; i++) {
		const fc_file *file = &run->files[i];
		const char *dot = file->package[0] == '\0' ? "" : ".";

		add_types(run, file, fc_say(run, "%s%s", dot, file->package),
		    file->proto->message_type, file->proto->n_message_type);
	}
	qsort(run->types, run->n_types, sizeof *run->types, compare_types);
}

/* The C names of the message type `name`, which has its leading dot. */
static void
name_type(fc_run *run, const fc_method *method, const char *name, const char **type,
    const char **descriptor)
{
	const fc_type *found = NULL;
	const char *c_name;

	if (name != NULL && run->n_types != 0)
		found = (const fc_type *)bsearch(
		    name, run->types, run->n_types, sizeof *run->types, compare_type_name);
	if (found == NULL)
		fc_die("bad request: %s: no message %s", method->full_name,
		    name == NULL ? "named" : name);
	c_name = fc_c_full_name(run, found->file, found->full_name + 1);
	*type = fc_c_type(run, c_name);
	*descriptor = fc_say(run, "%s__descriptor", fc_c_lower(run, c_name));
}

static uint32_t
flags_of(const Google__Protobuf__MethodOptions *options)
{
	uint32_t flags = 0;

	if (options == NULL)
		return 0;
	if (options->has_idempotency_level) {
		if (options->idempotency_level ==
		    GOOGLE__PROTOBUF__METHOD_OPTIONS__IDEMPOTENCY_LEVEL__NO_SIDE_EFFECTS)
			flags |= FARCALL_METHOD_NO_SIDE_EFFECTS;
		if (options->idempotency_level ==
		    GOOGLE__PROTOBUF__METHOD_OPTIONS__IDEMPOTENCY_LEVEL__IDEMPOTENT)
			flags |= FARCALL_METHOD_IDEMPOTENT;
	}
	if (options->has_deprecated && options->deprecated)
		flags |= FARCALL_METHOD_DEPRECATED;
	return flags;
}

static void
model_method(fc_run *run, const fc_service *service, const fc_method_proto *proto, int32_t index,
    fc_method *method)
{
	const fc_file *file = service->place.file;
	const int32_t path[] = {FIELD_SERVICE, service->place.path[1], FIELD_METHOD, index};
	bool client = proto->has_client_streaming && proto->client_streaming;
	bool server = proto->has_server_streaming && proto->server_streaming;
	const char *folded;

	method->name = checked_name(proto->name, "method", file);
	method->full_name = fc_say(run, "%s.%s", service->full_name, method->name);
	folded = fc_fold(run, method->name);
	method->member = fc_member(run, folded);
	method->stub = fc_say(run, "%s_%s", service->prefix, folded);
	method->shape = client ? (server ? FARCALL_BIDI_STREAM : FARCALL_CLIENT_STREAM)
	                       : (server ? FARCALL_SERVER_STREAM : FARCALL_UNARY);
	method->flags = flags_of(proto->options);
	method->place = fc_place_of(run, file, FC_COUNT(path), path);
	method->comment = fc_comment_at(&method->place);
	name_type(run, method, proto->input_type, &method->request, &method->request_descriptor);
	name_type(run, method, proto->output_type, &method->reply, &method->reply_descriptor);
}

static void
model_service(fc_run *run, const fc_file *file, int32_t index, fc_service *service)
{
	const fc_service_proto *proto = file->proto->service[index];
	const int32_t path[] = {FIELD_SERVICE, index};
	size_t i;

	service->name = checked_name(proto->name, "service", file);
	service->full_name = fc_say(
	    run, "%s%s%s", file->package, file->package[0] == '\0' ? "" : ".", service->name);
	service->c_name = fc_c_full_name(run, file, service->full_name);
	service->prefix = fc_c_prefix(run, service->c_name);
	service->protobuf_c = fc_c_lower(run, service->c_name);
	service->deprecated =
	    proto->options != NULL && proto->options->has_deprecated && proto->options->deprecated;
	service->place = fc_place_of(run, file, FC_COUNT(path), path);
	service->comment = fc_comment_at(&service->place);
	service->n_methods = proto->n_method;
	service->methods = (fc_method *)fc_take(run, proto->n_method + 1, sizeof(fc_method));
	for (i = 0; i < proto->n_method; i++)
		model_method(run, service, proto->method[i], (int32_t)i, &service->methods[i]);
}

static void
model_file(fc_run *run, fc_file *file)
{
	static const char *const ends[] = {".protodevel", ".proto"};
	size_t size, i;

	check_file_name(file->proto->name);
	file->name = file->proto->name;
	size = strlen(file->name);
	for (i = 0; i < FC_COUNT(ends); i++) {
		size_t end = strlen(ends[i]);

		if (size >= end && strcmp(file->name + size - end, ends[i]) == 0) {
			size -= end;
			break;
		}
	}
	file->base = fc_say(run, "%.*s", (int)size, file->name);
	file->package = file->proto->package == NULL ? "" : file->proto->package;
	if (file->package[0] != '\0' && !fc_is_dotted_name(file->package))
		fc_die("bad request: %s: bad package name", file->name);
	fc_locate_init(run, file);
	find_file_options(run, file);
}

static void
model_wanted(fc_run *run)
{
	size_t i;

	for (i = 0; i < run->request->n_file_to_generate; i++) {
		fc_file *file = fc_find_file(run, run->request->file_to_generate[i]);

		if (file == NULL)
			fc_die("bad request: %s is to be generated, but is not there",
			    run->request->file_to_generate[i]);
		file->wanted = true;
	}
}

void
fc_model(fc_run *run)
{
	size_t i, j;

	run->n_files = run->request->n_proto_file;
	run->files = (fc_file *)fc_take(run, run->n_files + 1, sizeof *run->files);
	run->by_name = (fc_file **)fc_take(run, run->n_files + 1, sizeof(fc_file *));
	for (i = 0; i < run->n_files; i++) {
		run->files[i].proto = run->request->proto_file[i];
		run->by_name[i] = &run->files[i];
		model_file(run, &run->files[i]);
	}
	qsort(run->by_name, run->n_files, sizeof *run->by_name, compare_files);
	for (i = 1; i < run->n_files; i++)
		if (compare_files(&run->by_name[i - 1], &run->by_name[i]) == 0)
			fc_die("bad request: %s is there twice", run->by_name[i]->name);
	model_wanted(run);
	model_types(run);
	for (i = 0; i < run->n_files; i++) {
		fc_file *file = &run->files[i];

		file->n_services = file->proto->n_service;
		file->services =
		    (fc_service *)fc_take(run, file->n_services + 1, sizeof(fc_service));
		for (j = 0; j < file->n_services; j++)
			model_service(run, file, (int32_t)j, &file->services[j]);
	}
}
