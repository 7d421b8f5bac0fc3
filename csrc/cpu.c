/* cpu -- feature detection, the list of ISA targets and the active one.
 *
 * Built without target flags and without LTO, so that nothing here runs an instruction that the CPU may lack.
 * FASTCONV_HAVE_<ISA> is defined by the build for each target that the compiler could make.
 */
#include "cpu.h"

#include <stdatomic.h>

extern const kernel_table kernels_generic;
#ifdef FASTCONV_HAVE_AVX2
extern const kernel_table kernels_avx2;
#else
#define kernels_avx2 no_kernels
#endif
#ifdef FASTCONV_HAVE_AVX512
extern const kernel_table kernels_avx512;
#else
#define kernels_avx512 no_kernels
#endif
#ifdef FASTCONV_HAVE_NEON
extern const kernel_table kernels_neon;
#else
#define kernels_neon no_kernels
#endif

#if !defined(FASTCONV_HAVE_AVX2) || !defined(FASTCONV_HAVE_AVX512) || !defined(FASTCONV_HAVE_NEON)
static const kernel_table no_kernels;
#endif

static int has_avx512(void)
{
#if defined(FASTCONV_EMULATES_AVX512) /* tests/sanitize.sh: without the target's flags the compiler cuts its vectors into narrower ones */
    return 1;
#elif defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("fma");
#else
    return 0;
#endif
}

static int has_avx2(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return 0;
#endif
}

static int has_neon(void)
{
#if defined(__aarch64__)
    return 1;
#else
    return 0;
#endif
}

static int has_generic(void)
{
    return 1;
}

static const struct {
    const char *name;
    const kernel_table *kernels;
    int (*supported)(void);
} isas[CPU_MAX_ISAS] = {
    {"avx512", &kernels_avx512, has_avx512},
    {"avx2", &kernels_avx2, has_avx2},
    {"neon", &kernels_neon, has_neon},
    {"generic", &kernels_generic, has_generic},
};

static atomic_int active = CPU_MAX_ISAS - 1;

const char *cpu_isa_name(int i)
{
    return i >= 0 && i < CPU_MAX_ISAS ? isas[i].name : NULL;
}

int cpu_isa_built(int i)
{
    return isas[i].kernels->name != NULL;
}

int cpu_isa_supported(int i)
{
    return isas[i].supported();
}

int cpu_select_isa(int i)
{
    if (i < 0 || i >= CPU_MAX_ISAS || !cpu_isa_built(i) || !cpu_isa_supported(i))
        return -1;
    atomic_store(&active, i);
    return 0;
}

int cpu_active_isa(void)
{
    return atomic_load(&active);
}

const kernel_table *cpu_kernels(void)
{
    return isas[atomic_load_explicit(&active, memory_order_relaxed)].kernels;
}

#if defined(__x86_64__)
unsigned cpu_flush_denormals(void)
{
    unsigned mode = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(mode | 0x8040u); /* FTZ | DAZ */
    return mode;
}

void cpu_restore(unsigned mode)
{
    __builtin_ia32_ldmxcsr(mode);
}
#elif defined(__aarch64__)
unsigned cpu_flush_denormals(void)
{
    unsigned long mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" : : "r"(mode | (1ul << 24))); /* FZ */
    return (unsigned)mode;
}

void cpu_restore(unsigned mode)
{
    __asm__ volatile("msr fpcr, %0" : : "r"((unsigned long)mode));
}
#else
unsigned cpu_flush_denormals(void)
{
    return 0;
}

void cpu_restore(unsigned mode)
{
    (void)mode;
}
#endif
