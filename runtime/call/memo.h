/*
 * memo.h: the metadata of a connection's calls are mostly the same from call to call. What came
 * twice is kept and shared by reference, so the third call copies nothing.
 */
#ifndef FC_CALL_MEMO_H
#define FC_CALL_MEMO_H

#include "runtime/base/atomic.h"
#include "runtime/call/metadata.h"

#define FC_SHARED_BYTES 4096u /* a larger list is not kept */

/* Any thread may drop it; otherwise it does not change. */
typedef struct fc_shared_metadata {
	fc_refs refs;
	farcall_metadata metadata;
	fc_arena arena; /* holds all of it, this struct too */
	size_t n;
	fc_pair *pairs; /* as they came */
} fc_shared_metadata;

/* The connection's; its loop's owner only. */
typedef struct fc_metadata_memo {
	fc_shared_metadata *kept;
	unsigned spare;  /* references to it, taken ahead of the calls that will need one */
	unsigned misses; /* since the last hit: a list is kept at the 1st, 2nd, 4th, 8th … */
} fc_metadata_memo;

void fc_metadata_memo_fini(fc_metadata_memo *memo);

/* As fc_metadata_receive(), or by reference: then *shared is not NULL and is to be dropped. */
bool fc_metadata_receive_shared(fc_metadata_memo *memo, farcall_metadata *metadata,
    fc_shared_metadata **shared, fc_arena *arena, size_t n, const fc_pair *pairs);

void fc_shared_metadata_drop(fc_shared_metadata *shared); /* NULL is harmless */

/* The same by the owner, for less: what it has is most often what the memo keeps. */
static inline void
fc_metadata_memo_take_back(fc_metadata_memo *memo, fc_shared_metadata *shared)
{
	if (FARCALL_LIKELY(shared == memo->kept && shared != NULL))
		memo->spare++;
	else
		fc_shared_metadata_drop(shared);
}

#endif
