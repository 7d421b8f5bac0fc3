/* peak -- multiply-adds and nothing else, on as many accumulators as a tile: the rate that kernels are measured against. */
static double NAME(peak_run)(idx count)
{
    enum { CHAINS = MR * NV };
    vec acc[CHAINS], a = {0}, b = {0};
#pragma GCC unroll 32
    for (int i = 0; i < CHAINS; i++)
        acc[i] = (vec){0} + (REAL)i; /* all different, or they would be one */
    for (idx k = 0; k < count; k++) {
        __asm__ volatile("" : "+m"(a), "+m"(b)); /* or the loop would be computed at compile time */
        const vec x = a, y = b;
#pragma GCC unroll 32
        for (int i = 0; i < CHAINS; i++)
            acc[i] = acc[i] * x + y;
    }
    vec used = {0};
#pragma GCC unroll 32
    for (int i = 0; i < CHAINS; i++)
        used += acc[i];
    __asm__ volatile("" : : "m"(used));
    return 2.0 * CHAINS * LANES * (double)count;
}
