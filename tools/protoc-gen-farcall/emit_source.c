/*
 * emit_source.c: X.farcall.c. The const tables, the dispatch thunks that know the handlers' types,
 * the typed callbacks' thunks, and the descriptors of the file and all that it imports, for
 * reflection. The text is C11 and C++17.
 */
#include "plugin.h"

#include <string.h>

static void
put_dispatch(fc_out *out, const fc_service *service, const fc_method *method)
{
	bool request = method->shape == FARCALL_UNARY || method->shape == FARCALL_SERVER_STREAM;
	bool reply = method->shape == FARCALL_UNARY || method->shape == FARCALL_CLIENT_STREAM;

	fc_put(out,
	    "static farcall_code\n%s__dispatch(farcall_call *call, const void *ops,\n"
	    "    const ProtobufCMessage *request, ProtobufCMessage *reply)\n{\n"
	    "\tconst struct %s *handlers = (const struct %s *)ops;\n\n",
	    method->stub, service->prefix, service->prefix);
	if (!request)
		fc_put(out, "\t(void)request;\n");
	if (!reply)
		fc_put(out, "\t(void)reply;\n");
	fc_put(out,
	    "\tif (handlers->%s == NULL)\n\t\treturn farcall_call_fail(\n"
	    "\t\t    call, FARCALL_UNIMPLEMENTED, \"%s is not implemented\");\n",
	    method->member, method->full_name);
	/* In parentheses, lest a macro of that name take the arguments. */
	fc_put(out, "\treturn (handlers->%s)(call", method->member);
	if (request)
		fc_put(out, ",\n\t    (const %s *)(const void *)request", method->request);
	if (reply)
		fc_put(out, ",\n\t    (%s *)(void *)reply", method->reply);
	fc_put(out, ");\n}\n\n");
}

static void
put_typed(fc_out *out, const fc_service *service, const fc_method *method, const fc_step *step)
{
	const char *stub = fc_say(out->run, "%s%s", method->stub, step->word);

	fc_put(out,
	    "static void\n%s__thunk(farcall_call *call, farcall_code code,\n"
	    "    const ProtobufCMessage *message, farcall_function *done, void *data)\n{\n"
	    "\tif (done != NULL)\n\t\t((%s__done *)done)(call, code,\n"
	    "\t\t    (const %s *)(const void *)message, data);\n}\n\n",
	    stub, stub, fc_carried(method, step->out));
	fc_put_async_head(out, "void\n", method, step, "\n{\n");
	switch (step->kind) {
	case FC_STEP_INVOKE:
		fc_put(out,
		    "\tfarcall_call_invoke_typed(call, &%s__methods[%u],\n"
		    "\t    (const ProtobufCMessage *)request,",
		    service->prefix, (unsigned)(method - service->methods));
		break;
	case FC_STEP_RECV:
		fc_put(out, "\tfarcall_call_recv_typed(call,");
		break;
	default:
		fc_put(out, "\tfarcall_call_finish_typed(call,");
		break;
	}
	fc_put(out, "\n\t    %s__thunk, (farcall_function *)done, data);\n}\n\n", stub);
}

static void
put_methods(fc_out *out, const fc_service *service)
{
	static const char *const shapes[] = {
	    [FARCALL_UNARY] = "FARCALL_UNARY",
	    [FARCALL_CLIENT_STREAM] = "FARCALL_CLIENT_STREAM",
	    [FARCALL_SERVER_STREAM] = "FARCALL_SERVER_STREAM",
	    [FARCALL_BIDI_STREAM] = "FARCALL_BIDI_STREAM",
	};
	size_t i;

	fc_put(out, "const farcall_method %s__methods[%u] = {\n", service->prefix,
	    (unsigned)service->n_methods);
	for (i = 0; i < service->n_methods; i++) {
		const fc_method *method = &service->methods[i];

		fc_put(out, "\t{\"%s\", \"/%s/%s\",\n", method->name, service->full_name,
		    method->name);
		fc_put(
		    out, "\t    &%s, &%s,\n", method->request_descriptor, method->reply_descriptor);
		fc_put(out, "\t    %s, %uu, offsetof(struct %s, %s),\n", shapes[method->shape],
		    (unsigned)method->flags, service->prefix, method->member);
		fc_put(out, "\t    %s__dispatch},\n", method->stub);
	}
	fc_put(out, "};\n\n");
}

static void
put_service(fc_out *out, const fc_service *service, const char *word, size_t n_files)
{
	size_t i, j;

	for (i = 0; i < service->n_methods; i++) {
		const fc_method *method = &service->methods[i];

		put_dispatch(out, service, method);
		for (j = 0; j < fc_n_steps; j++)
			if (fc_step_of(&fc_steps[j], method) && fc_steps[j].async &&
			    fc_steps[j].out != FC_NOTHING)
				put_typed(out, service, method, &fc_steps[j]);
	}
	if (service->n_methods != 0)
		put_methods(out, service);
	fc_put(out,
	    "const farcall_interface %s__interface = {\n"
	    "\tFARCALL_INTERFACE_ABI, (uint32_t)sizeof(farcall_method), \"%s\",\n",
	    service->prefix, service->full_name);
	if (service->n_methods == 0)
		fc_put(out, "\t0, NULL,\n");
	else
		fc_put(out, "\t%u, %s__methods,\n", (unsigned)service->n_methods, service->prefix);
	fc_put(out, "\t%u, farcall_files_%s,\n};\n\n", (unsigned)n_files, word);
}

/* The bytes of a FileDescriptorProto without its source_code_info. */
static void
put_file(fc_out *out, const fc_file *file, const char *word, size_t index)
{
	fc_file_proto bare = *file->proto;
	uint8_t *bytes;
	size_t size, i;

	bare.source_code_info = NULL;
	size = protobuf_c_message_get_packed_size(&bare.base);
	bytes = (uint8_t *)fc_take(out->run, size + 1, 1);
	protobuf_c_message_pack(&bare.base, bytes);
	fc_put_comment(out, "", NULL, file->name);
	fc_put(out, "static const uint8_t farcall_file_%s_%u[%lu] = {", word, (unsigned)index,
	    (unsigned long)size);
	for (i = 0; i < size; i++)
		fc_put(out, "%s0x%02x,", i % 16 == 0 ? "\n\t" : " ", (unsigned)bytes[i]);
	fc_put(out, "\n};\n\n");
}

/* The file and all that it imports, each once, nearest first. */
static const fc_file **
closure(fc_run *run, const fc_file *file, size_t *n_files)
{
	const fc_file **list = (const fc_file **)fc_take(run, run->n_files, sizeof *list);
	bool *seen = (bool *)fc_take(run, run->n_files, sizeof *seen);
	size_t count = 0, i, j;

	list[count++] = file;
	seen[file - run->files] = true;
	for (i = 0; i < count; i++) {
		for (j = 0; j < list[i]->proto->n_dependency; j++) {
			const char *name = list[i]->proto->dependency[j];
			const fc_file *import = fc_find_file(run, name);

			if (import == NULL)
				fc_die("bad request: %s imports %s, which is not there",
				    list[i]->name, name);
			if (!seen[import - run->files])
				list[count++] = import;
			seen[import - run->files] = true;
		}
	}
	*n_files = count;
	return list;
}

static void
put_files(fc_out *out, const fc_file *const *files, size_t n_files, const char *word)
{
	size_t i;

	fc_put(
	    out, "/* google.protobuf.FileDescriptorProto of this file and of its imports. */\n\n");
	for (i = 0; i < n_files; i++)
		put_file(out, files[i], word, i);
	fc_put(out, "static const ProtobufCBinaryData farcall_files_%s[%u] = {\n", word,
	    (unsigned)n_files);
	for (i = 0; i < n_files; i++)
		fc_put(out, "\t{sizeof farcall_file_%s_%u, (uint8_t *)farcall_file_%s_%u},\n", word,
		    (unsigned)i, word, (unsigned)i);
	fc_put(out, "};\n\n");
}

char *
fc_emit_source(fc_run *run, const fc_file *file)
{
	fc_out out = {run, NULL, 0, 0};
	const char *word = fc_guard_word(run, file->name);
	const fc_file **files;
	size_t n_files, i;

	files = closure(run, file, &n_files);
	fc_put_comment(&out, "", NULL,
	    fc_say(run, "Generated by protoc-gen-farcall from %s. Do not edit.", file->name));
	fc_put(&out, "#include \"%s.farcall.h\"\n", file->base);
	if (file->n_services != 0) {
		fc_put(&out, "\n");
		put_files(&out, files, n_files, word);
	}
	for (i = 0; i < file->n_services; i++)
		put_service(&out, &file->services[i], word, n_files);
	while (out.size > 1 && out.text[out.size - 1] == '\n' && out.text[out.size - 2] == '\n')
		out.text[--out.size] = '\0';
	return out.text;
}
