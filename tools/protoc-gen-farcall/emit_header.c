/*
 * emit_header.c: X.farcall.h. For each service: its struct of handlers, its tables by name, and for
 * each method the stubs: inline functions of one or two statements over those of farcall/call.h.
 */
#include "plugin.h"

#include <string.h>

static void
put_includes(fc_out *out, const fc_file *file)
{
	size_t i;

	fc_put(out, "#include <farcall/farcall.h>\n\n");
	if (!file->no_generate) {
		fc_put(out, "#include \"%s.pb-c.h\"\n\n", file->base);
		return;
	}
	/* protoc-c makes nothing of this file: its messages are those of its imports. */
	for (i = 0; i < file->proto->n_dependency; i++) {
		const fc_file *import = fc_find_file(out->run, file->proto->dependency[i]);

		if (import != NULL && !import->no_generate)
			fc_put(out, "#include \"%s.pb-c.h\"\n", import->base);
	}
	fc_put(out, "\n");
}

static void
put_struct(fc_out *out, const fc_service *service)
{
	size_t i;

	fc_put(out, "/* Handlers; one left NULL answers UNIMPLEMENTED. */\nstruct %s {\n",
	    service->prefix);
	for (i = 0; i < service->n_methods; i++) {
		const fc_method *method = &service->methods[i];

		fc_put_comment(out, "\t", NULL, method->comment);
		fc_put_handler(out, "\tfarcall_code ", fc_say(out->run, "(*%s)", method->member),
		    method, ";\n");
	}
	if (service->n_methods == 0)
		fc_put(out, "\tchar farcall_no_methods;\n");
	fc_put(out, "};\n\n");
}

static void
put_service(fc_out *out, const fc_service *service)
{
	const char *export_word = out->run->export_word, *prefix = service->prefix;
	const char *parameters[] = {"farcall_server *server",
	    fc_say(out->run, "const struct %s *ops", prefix), "void *self"};

	fc_put_comment(out, "",
	    fc_say(out->run, "service %s%s", service->full_name,
	        service->deprecated ? " (deprecated)" : ""),
	    service->comment);
	if (service->n_methods != 0)
		fc_put(out, "extern %sconst farcall_method %s__methods[%u];\n", export_word, prefix,
		    (unsigned)service->n_methods);
	fc_put(out, "extern %sconst farcall_interface %s__interface;\n\n", export_word, prefix);
	put_struct(out, service);
	fc_put_head(out, "static inline farcall_service *\n",
	    fc_say(out->run, "%s__register", prefix), parameters, FC_COUNT(parameters), "\n");
	fc_put(out,
	    "{\n\treturn farcall_server_register(server, &%s__interface, ops, sizeof *ops, "
	    "self);\n}\n\n",
	    prefix);
}

/* The arguments of a step's runtime function, before its outputs. */
static void
put_call(fc_out *out, const fc_service *service, const fc_method *method, const fc_step *step)
{
	static const char *const functions[] = {
	    [FC_STEP_INVOKE] = "farcall_call_invoke",
	    [FC_STEP_START] = "farcall_call_start",
	    [FC_STEP_SEND] = "farcall_call_send",
	    [FC_STEP_RECV] = "farcall_call_recv",
	    [FC_STEP_FINISH] = "farcall_call_finish",
	    [FC_STEP_COMPLETE] = "farcall_call_send_reply",
	};

	fc_put(out, "%s(%scall", functions[step->kind],
	    step->kind == FC_STEP_INVOKE ? "\n\t    " : "");
	if (step->kind == FC_STEP_INVOKE || step->kind == FC_STEP_START)
		fc_put(out, ", &%s__methods[%u]", service->prefix,
		    (unsigned)(method - service->methods));
	if (step->in != FC_NOTHING)
		fc_put(out, ", (const ProtobufCMessage *)%s",
		    step->in == FC_REQUEST ? "request" : "reply");
	else if (step->kind == FC_STEP_START)
		fc_put(out, ", NULL");
	if (step->kind == FC_STEP_FINISH && step->out == FC_NOTHING)
		fc_put(out, ", NULL");
}

static void
put_blocking(fc_out *out, const fc_service *service, const fc_method *method, const fc_step *step)
{
	const char *shown = step->out == FC_REQUEST ? "request" : "reply";
	const char *parameters[3] = {"farcall_call *call"};
	size_t n = 1;

	if (step->in != FC_NOTHING)
		parameters[n++] = fc_say(out->run, "const %s *%s", fc_carried(method, step->in),
		    step->in == FC_REQUEST ? "request" : "reply");
	if (step->out != FC_NOTHING)
		parameters[n++] =
		    fc_say(out->run, "const %s **%s", fc_carried(method, step->out), shown);
	fc_put_head(out, "static inline farcall_code\n",
	    fc_say(out->run, "%s%s", method->stub, step->word), parameters, n, "\n{\n");
	if (step->out == FC_NOTHING) {
		fc_put(out, "\treturn ");
		put_call(out, service, method, step);
		fc_put(out, ");\n}\n\n");
		return;
	}
	fc_put(out, "\tconst ProtobufCMessage *message = NULL;\n\tfarcall_code code;\n\n\tcode = ");
	put_call(out, service, method, step);
	fc_put(out, ", &message);\n\tif (code == FARCALL_OK && %s != NULL)\n", shown);
	fc_put(out, "\t\t*%s = (const %s *)(const void *)message;\n\treturn code;\n}\n\n", shown,
	    fc_carried(method, step->out));
}

/* Without a message to show the callback is a plain farcall_done. With one it is typed, and the
 * stub is a function of the source, beside its thunk. */
static void
put_async(fc_out *out, const fc_method *method, const fc_step *step)
{
	const char *parameters[4] = {"farcall_call *call", "farcall_code code", NULL, "void *data"};

	if (step->out == FC_NOTHING) {
		fc_put_async_head(out, "static inline void\n", method, step, "\n{\n");
		if (step->kind == FC_STEP_SEND)
			fc_put(out,
			    "\tfarcall_call_send_async(call, (const ProtobufCMessage *)%s, done, "
			    "data);\n}\n\n",
			    step->in == FC_REQUEST ? "request" : "reply");
		else
			fc_put(out, "\tfarcall_call_finish_async(call, done, data);\n}\n\n");
		return;
	}
	parameters[2] = fc_say(out->run, "const %s *%s", fc_carried(method, step->out),
	    step->out == FC_REQUEST ? "request" : "reply");
	fc_put_head(out, "typedef void ", fc_say(out->run, "%s%s__done", method->stub, step->word),
	    parameters, FC_COUNT(parameters), ";\n");
	fc_put_async_head(
	    out, fc_say(out->run, "%svoid ", out->run->export_word), method, step, ";\n\n");
}

static void
put_method(fc_out *out, const fc_service *service, const fc_method *method)
{
	static const char *const shapes[] = {
	    [FARCALL_UNARY] = "unary",
	    [FARCALL_CLIENT_STREAM] = "client stream",
	    [FARCALL_SERVER_STREAM] = "server stream",
	    [FARCALL_BIDI_STREAM] = "bidi stream",
	};
	size_t i;

	fc_put_comment(out, "",
	    fc_say(out->run, "%s (%s%s)", method->full_name, shapes[method->shape],
	        (method->flags & FARCALL_METHOD_DEPRECATED) != 0 ? ", deprecated" : ""),
	    method->comment);
	for (i = 0; i < fc_n_steps; i++) {
		if (!fc_step_of(&fc_steps[i], method))
			continue;
		put_blocking(out, service, method, &fc_steps[i]);
		if (fc_steps[i].async)
			put_async(out, method, &fc_steps[i]);
	}
}

char *
fc_emit_header(fc_run *run, const fc_file *file)
{
	fc_out out = {run, NULL, 0, 0};
	const char *word = fc_guard_word(run, file->name);
	size_t i, j;

	fc_put_comment(&out, "", NULL,
	    fc_say(run, "Generated by protoc-gen-farcall from %s. Do not edit.", file->name));
	fc_put(&out, "#ifndef FARCALL_%s_INCLUDED\n#define FARCALL_%s_INCLUDED\n\n", word, word);
	put_includes(&out, file);
	fc_put(&out,
	    "#if FARCALL_INTERFACE_ABI != %u\n"
	    "#error \"generated for another farcall: run protoc-gen-farcall of this one\"\n"
	    "#endif\n\n",
	    FARCALL_INTERFACE_ABI);
	fc_put(&out, "FARCALL_BEGIN_DECLS\n\n");
	for (i = 0; i < file->n_services; i++) {
		const fc_service *service = &file->services[i];

		put_service(&out, service);
		for (j = 0; j < service->n_methods; j++)
			put_method(&out, service, &service->methods[j]);
	}
	fc_put(&out, "FARCALL_END_DECLS\n\n#endif\n");
	return out.text;
}
