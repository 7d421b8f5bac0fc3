/* winograd_weights -- the kernels of winograd_tpl.h transformed: for a block of rows, or for a plan that is kept. */

/* Points of both axes that there are kernels for. */
#define WINOGRAD_FORMS                                                                                                  \
    WINOGRAD_FORM(6, 6) WINOGRAD_FORM(5, 5) WINOGRAD_FORM(4, 4) WINOGRAD_FORM(3, 3)                                     \
    WINOGRAD_FORM(1, 6) WINOGRAD_FORM(6, 1) WINOGRAD_FORM(1, 5) WINOGRAD_FORM(5, 1)

/* Row m, channel c, element t of its kernel, whatever the pass: first[m * row + c * channel + t]. */
typedef struct {
    const REAL *first, *end; /* of the group; one past the array */
    idx row, channel, channels, taps, kw;
} NAME(weights);

/* The element of a kernel that a lattice's tap (y, x) is, counted from its first source position on. */
static inline idx NAME(kernel_element)(const NAME(weights) *w, const lattice *lat, idx y, idx x)
{
    const conv_axis *h = &lat->h, *along = &lat->w;
    const idx th = h->delta < 0 ? h->taps - 1 - y : y, tw = along->delta < 0 ? along->taps - 1 - x : x;
    return (h->tap_first + th * h->tap_step) * w->kw + along->tap_first + tw * along->tap_step;
}

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

/* `run` elements from `first` on, of `count` lanes that are `step` apart: to[element][lane]. Whole squares are turned round, the few elements
 * after them moved one by one. The other lanes hold what the last does. */
static inline void NAME(winograd_gather)(REAL *to, const NAME(weights) *w, const REAL *first, idx step, idx count, idx run)
{
    const REAL *const last = first + (count - 1) * step;
    idx e = 0;
    if (count == LANES) {
        for (; run - e > LANES / 4 && last + e + LANES <= w->end; e += LANES)
            NAME(transpose)(to + e * LANES, LANES, first + e, step);
        for (; e < run; e++)
            NAME(store)(to + e * LANES, NAME(load_each)(first + e, step));
        return;
    }
    for (; run - e > LANES / 4 && last + e + LANES <= w->end; e += LANES) {
        const REAL *from[LANES];
        for (idx lane = 0; lane < LANES; lane++)
            from[lane] = first + min_idx(lane, count - 1) * step + e;
        NAME(transpose_rows)(to + e * LANES, LANES, from);
    }
    for (; e < run; e++)
        for (idx lane = 0; lane < LANES; lane++)
            to[e * LANES + lane] = first[min_idx(lane, count - 1) * step + e];
}

/* Where the taps of each group lie, three by three; -1: the group lacks it. */
static void NAME(winograd_order)(int32_t *order, const winograd_shape *s, const lattice *lat, const NAME(weights) *w)
{
    const idx th = lat->h.taps, tw = lat->w.taps;
    for (idx g = 0; g < s->h.groups * s->w.groups; g++) {
        const idx gh = g / s->w.groups, gw = g % s->w.groups;
        const winograd_group high = winograd_group_of(&s->h, th, gh), wide = winograd_group_of(&s->w, tw, gw);
        int32_t *const of = order + 9 * winograd_before(s, gh, gw);
        for (idx i = 0; i < 9; i++) {
            const idx y = high.tap + i / 3 * s->h.period, x = wide.tap + i % 3 * s->w.period;
            of[i] = (int32_t)(i / 3 < high.taps && i % 3 < wide.taps ? NAME(kernel_element)(w, lat, y, x) * LANES : -1);
        }
    }
}

/* Nine taps of LANES kernels to u[f * next], of `count` of them. */
__attribute__((always_inline)) static inline void NAME(winograd_kernel)(const int ah, const int aw, const REAL *taps, const REAL *zeros,
                                                                        const int32_t *order, REAL *u, idx next, idx count)
{
    const int high = winograd_reach_of(ah), wide = winograd_reach_of(aw);
    vec column[WINOGRAD_MOST][3];
#pragma GCC unroll 3
    for (int x = 0; x < wide; x++) {
        vec d[3], t[WINOGRAD_MOST];
#pragma GCC unroll 3
        for (int y = 0; y < high; y++)
            d[y] = NAME(load)(order[3 * y + x] < 0 ? zeros : taps + order[3 * y + x]);
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

/* Rows [m0, m1) to u[f][m - m0][k]: lanes are channels. */
__attribute__((always_inline)) static inline void NAME(winograd_by_rows)(const int ah, const int aw, REAL *u, const winograd_scratch *lay, idx groups,
                                                                         const NAME(weights) *w, idx m0, idx m1, REAL *taps, const REAL *zeros,
                                                                         const int32_t *order)
{
    const idx vectors = ceil_div(w->channels, LANES), rows = m1 - m0;
    const int by_row = NAME(weights_by_row)(w);
    const idx ahead = KERNELS_AHEAD * (by_row ? LANES * w->channel : w->row);
    for (idx far = 0; far < (by_row ? rows : vectors); far++) /* kernels that lie side by side follow each other */
        for (idx near = 0; near < (by_row ? vectors : rows); near++) {
            const idx m = m0 + (by_row ? far : near), c = (by_row ? near : far) * LANES, count = min_idx(LANES, w->channels - c);
            const REAL *const first = w->first + m * w->row + c * w->channel;
            for (idx lane = 0; lane < LANES; lane++)
                __builtin_prefetch(first + ahead + lane * w->channel);
            NAME(winograd_gather)(taps, w, first, w->channel, count, w->taps);
            for (idx g = 0; g < groups; g++)
                NAME(winograd_kernel)(ah, aw, taps, zeros, order + 9 * g, u + (m - m0) * lay->ldu + g * w->channels + c, lay->next_u, count);
        }
}

/* Tiles [t0, t1) of rows to u[tile - t0][f][k][row]: lanes are rows. Vectors of a tile's last ones reach over what comes next, which is written
 * later, or over nothing; not at the end of a group of taps. */
__attribute__((always_inline)) static inline void NAME(winograd_by_tiles)(const int ah, const int aw, REAL *u, const winograd_scratch *lay,
                                                                          const winograd_shape *s, const NAME(weights) *w, idx t0, idx t1, REAL *taps,
                                                                          const REAL *zeros, const int32_t *order)
{
    const idx groups = s->h.groups * s->w.groups, together = NAME(weights_by_row)(w) ? winograd_gathered(w->taps, LANES) : 1;
    for (idx tile = t0; tile < t1; tile++, u += s->frequencies * lay->next_u) {
        const idx m = tile_start(lay->tiles, tile), height = tile_start(lay->tiles, tile + 1) - m;
        for (idx c = 0, some; c < w->channels; c += some) {
            some = min_idx(together, w->channels - c);
            for (idx i = (height - 1) / LANES * LANES; i >= 0; i -= LANES) {
                const idx rows = min_idx(LANES, height - i);
                NAME(winograd_gather)(taps, w, w->first + (m + i) * w->row + c * w->channel, w->row, rows, some * w->taps);
                for (idx g = 0; g < groups; g++)
                    for (idx q = 0; q < some; q++)
                        NAME(winograd_kernel)(ah, aw, taps + q * w->taps * LANES, zeros, order + 9 * g,
                                              u + (g * w->channels + c + q) * height + i, lay->next_u,
                                              groups > 1 && (w->channels - c - q) * height < i + LANES ? rows : LANES);
            }
        }
    }
}

/* Tiles [t0, t1) of rows. */
__attribute__((always_inline)) static inline void NAME(winograd_weights)(const int ah, const int aw, REAL *u,
                                                                         const winograd_scratch *lay,
                                                                         const winograd_shape *s, const lattice *lat,
                                                                         const NAME(weights) *w, idx t0, idx t1,
                                                                         REAL *taps)
{
    REAL *const zeros = taps + winograd_taps(w->taps, LANES);
    int32_t *const order = (int32_t *)(zeros + LANES);
    NAME(store)(zeros, (vec){0});
    NAME(winograd_order)(order, s, lat, w);
    if (lay->tiled)
        NAME(winograd_by_tiles)(ah, aw, u, lay, s, w, t0, t1, taps, zeros, order);
    else
        NAME(winograd_by_rows)(ah, aw, u, lay, s->h.groups * s->w.groups, w, tile_start(lay->tiles, t0), tile_start(lay->tiles, t1), taps, zeros, order);
}

static NAME(weights) NAME(group_weights)(const conv_problem *p, const lattice *lat, const REAL *w, idx group)
{
    const int forward = p->pass == CONV_FWD;
    const idx taps = p->kh * p->kw, size = p->oc * p->ic * taps;
    return (NAME(weights)){w + group * size, w + p->groups * size, forward ? p->ic * taps : taps,
                           forward ? taps : p->ic * taps, lat->source_channels, taps, p->kw};
}

static void NAME(winograd_block)(const winograd_shape *s, const winograd_scratch *lay, const lattice *lat,
                                 const NAME(weights) *w, REAL *u, idx t0, idx t1, REAL *taps)
{
#define WINOGRAD_FORM(ah, aw)                                                                                           \
    if (s->h.points == ah && s->w.points == aw)                                                                         \
        NAME(winograd_weights)(ah, aw, u, lay, s, lat, w, t0, t1, taps);
    WINOGRAD_FORMS
#undef WINOGRAD_FORM
}
