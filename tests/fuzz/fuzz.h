/*
 * fuzz.h: the entry that every fuzzer defines; libFuzzer's main or replay.c's calls it.
 */
#ifndef FC_TEST_FUZZ_H
#define FC_TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
