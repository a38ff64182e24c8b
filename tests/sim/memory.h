/*
 * memory.h: the library's memory as the simulator sees it: counted in blocks and bytes, and made to
 * fail when the seed says so.
 */
#ifndef FC_SIM_MEMORY_H
#define FC_SIM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

void sim_memory_install(void);
size_t sim_memory_blocks(void); /* alive */
size_t sim_memory_bytes(void);
size_t sim_memory_peak(void);       /* bytes, since the last reset */
void sim_memory_reset(void);        /* of the peak; nothing will fail */
void sim_memory_fail_in(size_t n);  /* the nth allocation from now on fails, once; 0: none will */
void sim_memory_failed(void);       /* called when one does, for a debugger to stop at */
unsigned sim_memory_failures(void); /* since the last reset */

#endif
