/* winograd_weights -- the kernels of winograd_tpl.h transformed: for a block of rows, or for a plan that is kept. */

/* Points of both axes that there are kernels for. */
#define WINOGRAD_FORMS                                                                                                  \
    WINOGRAD_FORM(6, 6) WINOGRAD_FORM(5, 5) WINOGRAD_FORM(4, 4) WINOGRAD_FORM(3, 3)                                     \
    WINOGRAD_FORM(1, 6) WINOGRAD_FORM(6, 1) WINOGRAD_FORM(1, 5) WINOGRAD_FORM(5, 1)

/* Row m, channel c, tap t of the weights, whatever the pass: first[m * row + c * channel + t]. */
typedef struct {
    const REAL *first, *end; /* of the group; one past the array */
    idx row, channel, channels, taps;
} NAME(weights);

/* G of one axis of `a` points, without the factors that are not dyadic, which winograd_factor has. */
__attribute__((always_inline)) static inline void NAME(winograd_taps)(const int a, const vec *g, vec *u)
{
    if (a == 1) {
        u[0] = g[0];
        return;
    }
    if (a == 3 || a == 5) {
        u[0] = g[0];
        u[1] = g[0] + g[1];
        u[a - 1] = g[1];
        if (a == 5) {
            u[2] = g[0] - 2 * g[1];
            u[3] = g[0] - 0.5f * g[1];
        }
        return;
    }
    const vec ends = g[0] + g[2];
    u[0] = g[0];
    u[1] = ends + g[1];
    u[2] = ends - g[1];
    u[a - 1] = g[2];
    if (a == 6) {
        u[3] = g[0] + 0.5f * g[1] + 0.25f * g[2];
        u[4] = g[0] - 2 * g[1] + 4 * g[2];
    }
}

__attribute__((always_inline)) static inline double NAME(winograd_factor)(const int a, int i)
{
    static const double four[] = {1, 0.5, 0.5, 1}, five[] = {1, 2 / 9., -1 / 9., 8 / 9., 1};
    static const double six[] = {1, 1 / 3., -1 / 3., -16 / 15., 1 / 15., 1};
    return a == 1 || a == 3 ? 1 : a == 4 ? four[i] : a == 5 ? five[i] : six[i];
}

#define KERNELS_AHEAD 4 /* vectors, called in time: they are short rows, at any distance */

/* Whether the kernels of a row lie side by side, as they do but in gradients; else those of a channel do. */
static inline int NAME(weights_by_row)(const NAME(weights) *w)
{
    return w->channel < w->row;
}

/* Taps of LANES channels from c on, of result row m: taps[t][lane]. Whole vectors are turned round, the few taps after them moved one by one.
 * Lanes after the last channel hold what follows it, which nothing reads, or the last once more where nothing does. */
static inline void NAME(winograd_gather)(REAL *taps, const NAME(weights) *w, idx m, idx c)
{
    const idx ahead = KERNELS_AHEAD * (NAME(weights_by_row)(w) ? LANES * w->channel : w->row);
    const idx count = min_idx(LANES, w->channels - c), step = w->channel;
    const REAL *first = w->first + m * w->row + c * step;
    idx t = 0;
    if (count < LANES && w->end - first < (LANES - 1) * step + w->taps) {
        for (; t < w->taps; t++)
            for (int lane = 0; lane < LANES; lane++)
                taps[t * LANES + lane] = first[min_idx(lane, count - 1) * step + t];
        return;
    }
    for (int lane = 0; lane < LANES; lane++)
        __builtin_prefetch(first + ahead + lane * step);
    for (; w->taps - t > LANES / 4 && first + (LANES - 1) * step + t + LANES <= w->end; t += LANES)
        NAME(transpose)(taps + t * LANES, LANES, first + t, step);
    for (; t < w->taps; t++)
        NAME(store)(taps + t * LANES, NAME(load_each)(first + t, step));
}

/* Where the taps of each group lie in `taps`, three by three; those that a group lacks are the zeros after them. */
static void NAME(winograd_order)(int32_t *order, const winograd_shape *s, const lattice *lat)
{
    const idx th = lat->h.taps, tw = lat->w.taps;
    for (idx g = 0; g < s->h.groups * s->w.groups; g++) {
        const idx gh = g / s->w.groups, gw = g % s->w.groups;
        const winograd_group high = winograd_group_of(&s->h, th, gh), wide = winograd_group_of(&s->w, tw, gw);
        int32_t *const of = order + 9 * winograd_before(s, gh, gw);
        for (idx i = 0; i < 9; i++) {
            const idx y = high.tap + i / 3 * s->h.period, x = wide.tap + i % 3 * s->w.period;
            /* the kernel's element at this distance from the first source position */
            const idx at = (lat->h.delta < 0 ? th - 1 - y : y) * tw + (lat->w.delta < 0 ? tw - 1 - x : x);
            of[i] = (int32_t)(i / 3 < high.taps && i % 3 < wide.taps ? at * LANES : round_up(th * tw, LANES) * LANES);
        }
    }
}

/* Nine taps of LANES kernels to u[f * next], of `count` of them. */
__attribute__((always_inline)) static inline void NAME(winograd_kernel)(const int ah, const int aw, const REAL *taps, const int32_t *order,
                                                                        REAL *u, idx next, int count)
{
    const int high = winograd_reach_of(ah), wide = winograd_reach_of(aw);
    vec column[WINOGRAD_MOST][3];
#pragma GCC unroll 3
    for (int x = 0; x < wide; x++) {
        vec d[3], t[WINOGRAD_MOST];
#pragma GCC unroll 3
        for (int y = 0; y < high; y++)
            d[y] = NAME(load)(taps + order[3 * y + x]);
        NAME(winograd_taps)(ah, d, t);
#pragma GCC unroll 6
        for (int i = 0; i < ah; i++)
            column[i][x] = t[i];
    }
#pragma GCC unroll 6
    for (int i = 0; i < ah; i++) {
        vec t[WINOGRAD_MOST];
        NAME(winograd_taps)(aw, column[i], t);
#pragma GCC unroll 6
        for (int j = 0; j < aw; j++, u += next) {
            NAME(store_some)(u, t[j] * (REAL)(NAME(winograd_factor)(ah, i) * NAME(winograd_factor)(aw, j)), count);
            __asm__("" : "+r"(u)); /* one addition each: products of `next` would be spilled */
        }
    }
}

/* Rows [m0, m1) to u[f][m - m0][k]. */
__attribute__((always_inline)) static inline void NAME(winograd_weights)(const int ah, const int aw, REAL *u,
                                                                         const winograd_scratch *lay,
                                                                         const winograd_shape *s, const lattice *lat,
                                                                         const NAME(weights) *w, idx m0, idx m1,
                                                                         REAL *taps)
{
    REAL *const zeros = taps + round_up(w->taps, LANES) * LANES;
    int32_t *const order = (int32_t *)(zeros + LANES);
    NAME(store)(zeros, (vec){0});
    NAME(winograd_order)(order, s, lat);
    const idx vectors = ceil_div(w->channels, LANES), rows = m1 - m0;
    const int by_row = NAME(weights_by_row)(w);
    for (idx far = 0; far < (by_row ? rows : vectors); far++) /* kernels that lie side by side follow each other */
        for (idx near = 0; near < (by_row ? vectors : rows); near++) {
            const idx m = m0 + (by_row ? far : near), c = (by_row ? near : far) * LANES;
            NAME(winograd_gather)(taps, w, m, c);
            for (idx g = 0; g < s->h.groups * s->w.groups; g++)
                NAME(winograd_kernel)(ah, aw, taps, order + 9 * g, u + (m - m0) * lay->ldu + g * w->channels + c, lay->next_u,
                                      (int)min_idx(LANES, w->channels - c));
        }
}

static NAME(weights) NAME(group_weights)(const conv_problem *p, const lattice *lat, const REAL *w, idx group)
{
    const int forward = p->pass == CONV_FWD;
    const idx taps = p->kh * p->kw, size = p->oc * p->ic * taps;
    return (NAME(weights)){w + group * size, w + p->groups * size, forward ? p->ic * taps : taps,
                           forward ? taps : p->ic * taps, lat->source_channels, taps};
}

static void NAME(winograd_block)(const winograd_shape *s, const winograd_scratch *lay, const lattice *lat,
                                 const NAME(weights) *w, REAL *u, idx m0, idx m1, REAL *taps)
{
#define WINOGRAD_FORM(ah, aw)                                                                                           \
    if (s->h.points == ah && s->w.points == aw)                                                                         \
        NAME(winograd_weights)(ah, aw, u, lay, s, lat, w, m0, m1, taps);
    WINOGRAD_FORMS
#undef WINOGRAD_FORM
}
