/*
 * plugin.h: protoc-gen-farcall, what its parts share.
 *
 * One run: main reads a request, guard bounds it, model turns it into services with the names that
 * they have in C, check refuses what would make bad C, and the emitters write text. All memory
 * hangs on the run and goes with it; when there is none left, the run says so and exits.
 */
#ifndef FC_PLUGIN_H
#define FC_PLUGIN_H

#include "google/protobuf/compiler/plugin.pb-c.h"

#include <farcall/interface.h>

#include <stdarg.h>
#include <stdbool.h>

#define FC_COUNT(array) (sizeof(array) / sizeof((array)[0]))

typedef Google__Protobuf__FileDescriptorProto fc_file_proto;
typedef Google__Protobuf__DescriptorProto fc_message_proto;
typedef Google__Protobuf__ServiceDescriptorProto fc_service_proto;
typedef Google__Protobuf__MethodDescriptorProto fc_method_proto;
typedef Google__Protobuf__SourceCodeInfo__Location fc_location;

typedef struct fc_run fc_run;

/* Text that grows. */
typedef struct fc_out {
	fc_run *run;
	char *text; /* ends in a NUL */
	size_t size, room;
} fc_out;

/* What a service or method is to its file: a path in google.protobuf.SourceCodeInfo. */
typedef struct fc_place {
	const struct fc_file *file;
	const int32_t *path;
	size_t depth;
} fc_place;

typedef struct fc_method {
	const char *name;                         /* "SayHello" */
	const char *full_name;                    /* "demo.Greeter.SayHello" */
	const char *member;                       /* "say_hello"; "delete_" of Delete */
	const char *stub;                         /* "demo_greeter_say_hello" */
	const char *request, *request_descriptor; /* "Demo__HelloRequest", "demo__hello_…" */
	const char *reply, *reply_descriptor;
	const char *comment; /* NULL: none */
	farcall_shape shape;
	uint32_t flags;
	fc_place place;
} fc_method;

typedef struct fc_service {
	const char *name;       /* "Greeter" */
	const char *full_name;  /* "demo.Greeter" */
	const char *c_name;     /* the same, after (pb_c_file).c_package */
	const char *prefix;     /* "demo_greeter" */
	const char *protobuf_c; /* "demo__greeter": what protoc-c calls it */
	const char *comment;    /* NULL: none */
	bool deprecated;
	size_t n_methods;
	fc_method *methods;
	fc_place place;
} fc_service;

typedef struct fc_file {
	const fc_file_proto *proto;
	const char *name;
	const char *base;      /* the name without ".proto" */
	const char *package;   /* "" if none */
	const char *c_package; /* option (pb_c_file).c_package; NULL: none */
	bool no_generate;      /* option (pb_c_file).no_generate */
	bool wanted;           /* is to be generated */
	size_t n_services;
	fc_service *services;
	const fc_location **locations; /* sorted by path */
	size_t n_locations;
} fc_file;

/* A message type: its full name, with the leading dot, and where it is defined. */
typedef struct fc_type {
	const char *full_name;
	const fc_file *file;
} fc_type;

typedef struct fc_refusal {
	const fc_file *file;
	int line, column; /* from 1 */
	size_t order;
	const char *text;
} fc_refusal;

struct fc_run {
	struct fc_block *blocks; /* of memory.c */
	const Google__Protobuf__Compiler__CodeGeneratorRequest *request;
	const char *export_word; /* parameter dllexport_decl, with a blank behind it; else "" */
	fc_file *files;          /* as in the request */
	size_t n_files;
	fc_file **by_name; /* the same, sorted by name */
	fc_type *types;    /* sorted by name */
	size_t n_types;
	fc_refusal *refusals;
	size_t n_refusals, room_refusals;
};

/* memory.c */
void *fc_take(fc_run *run, size_t count, size_t size); /* zeroed */
void fc_run_fini(fc_run *run);
ProtobufCAllocator fc_run_allocator(fc_run *run);
char *fc_say(fc_run *run, const char *format, ...) FARCALL_PRINTF(2, 3);
void fc_put(fc_out *out, const char *format, ...) FARCALL_PRINTF(2, 3);
void fc_put_list(fc_out *out, const char *format, va_list arguments);
void fc_put_bytes(fc_out *out, const char *bytes, size_t size);
/* The request makes no sense, or the machine is out of something: text on stderr, exit 1. */
_Noreturn void fc_die(const char *format, ...) FARCALL_PRINTF(1, 2);

/* guard.c: NULL, or why these bytes must not be unpacked as this message. */
const char *fc_guard(
    const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t size);

/* names.c */
bool fc_is_name(const char *name, size_t size);   /* [A-Za-z_][A-Za-z0-9_]* */
bool fc_is_dotted_name(const char *name);         /* names joined by dots */
const char *fc_word_owner(const char *word);      /* "a keyword of C++"; NULL: free to use */
char *fc_fold(fc_run *run, const char *name);     /* "SayHello" to "say_hello" */
char *fc_member(fc_run *run, const char *folded); /* "delete" to "delete_": a keyword of C++ */
char *fc_c_full_name(fc_run *run, const fc_file *file, const char *full_name);
char *fc_c_type(fc_run *run, const char *name);   /* "demo.HelloReply" to "Demo__HelloReply" */
char *fc_c_lower(fc_run *run, const char *name);  /* … to "demo__hello_reply" */
char *fc_c_prefix(fc_run *run, const char *name); /* "demo.Greeter" to "demo_greeter" */
char *fc_guard_word(fc_run *run, const char *file_name); /* "demo.proto" to "demo_2eproto" */

/* model.c: everything of the request that is needed, with its names in C. */
void fc_model(fc_run *run);
fc_file *fc_find_file(const fc_run *run, const char *name); /* NULL: none */

/* locate.c */
void fc_locate_init(fc_run *run, fc_file *file);
fc_place fc_place_of(fc_run *run, const fc_file *file, size_t depth, const int32_t *path);
const char *fc_comment_at(const fc_place *place);
void fc_refuse(fc_run *run, const fc_place *place, const char *format, ...) FARCALL_PRINTF(3, 4);
const char *fc_refusals(fc_run *run); /* "file:line:column: text", a line each; NULL: none */

/* check.c: names in C and whose they are; two owners' are refused at the later one. */
typedef struct fc_table fc_table;
void fc_check(fc_run *run);
void fc_claim(fc_table *table, const char *name, const char *what, const char *full_name,
    const fc_place *place);

/* check_messages.c: what protoc-c makes of the file's messages and enums. */
void fc_claim_types(fc_run *run, fc_table *table, const fc_file *file);

/* steps.c: what is generated for a method, beside its handler. */
typedef enum fc_step_kind {
	FC_STEP_INVOKE,  /* farcall_call_invoke() */
	FC_STEP_START,   /* farcall_call_start() */
	FC_STEP_SEND,    /* farcall_call_send() */
	FC_STEP_RECV,    /* farcall_call_recv() */
	FC_STEP_FINISH,  /* farcall_call_finish() */
	FC_STEP_COMPLETE /* farcall_call_send_reply() */
} fc_step_kind;

typedef enum fc_carries { FC_NOTHING, FC_REQUEST, FC_REPLY } fc_carries;

typedef struct fc_step {
	const char *word; /* behind the stub's name: "__recv_reply" */
	unsigned shapes;  /* bits, 1 << farcall_shape */
	fc_step_kind kind;
	fc_carries in, out; /* the message passed and the message shown */
	bool async;         /* has an __async twin */
} fc_step;

extern const fc_step fc_steps[];
extern const size_t fc_n_steps;

static inline bool
fc_step_of(const fc_step *step, const fc_method *method)
{
	return (step->shapes & 1u << method->shape) != 0;
}

/* The C type of what a step carries; NULL for nothing. */
const char *fc_carried(const fc_method *method, fc_carries carries);

/* emit.c: shared by the two below */
void fc_put_comment(fc_out *out, const char *indent, const char *title, const char *text);
void fc_put_head(fc_out *out, const char *before, const char *name, const char *const *parameters,
    size_t n_parameters, const char *after);
void fc_put_handler(
    fc_out *out, const char *before, const char *name, const fc_method *method, const char *after);
void fc_put_async_head(fc_out *out, const char *before, const fc_method *method,
    const fc_step *step, const char *after);

/* emit_header.c, emit_source.c */
char *fc_emit_header(fc_run *run, const fc_file *file);
char *fc_emit_source(fc_run *run, const fc_file *file);

#endif
