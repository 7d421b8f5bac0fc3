/* cpu.h -- which kernels this machine runs: features, the active kernel table, the floating-point mode. */
#ifndef FASTCONV_CPU_H
#define FASTCONV_CPU_H

#include "kernels.h"

#define CPU_MAX_ISAS 4

/* The i-th ISA, best first, or NULL past the end: its name; whether it was built in; whether this CPU has it. */
const char *cpu_isa_name(int i);
int cpu_isa_built(int i);
int cpu_isa_supported(int i);

/* Makes the i-th ISA the active one. Returns 0, or -1 when it was not built or this CPU lacks it. */
int cpu_select_isa(int i);
int cpu_active_isa(void);
const kernel_table *cpu_kernels(void);

/* Denormals are flushed inside kernels; the caller's mode and flags come back with cpu_restore. */
unsigned cpu_flush_denormals(void);
void cpu_restore(unsigned mode);

#endif
