/* windows -- fwd of few points: the windows of some images times the kernels of some output channels of a group, row by row (dots_tpl.h).
 *
 * A window is laid down as its kernel lies, (channel, row, column); one that is the whole image lies so already.
 */
/* A row of a window, by whole vectors or a short one where what lies behind it in the source may be read: the next row, or the room behind
 * the last, is written after it. */
__attribute__((always_inline)) static inline void NAME(window_run)(REAL *to, const REAL *from, idx count, idx step, const REAL *end)
{
    enum { SHORT = 16 / sizeof(REAL) };
    idx i = 0;
    if (step == 1 && count <= SHORT && from + SHORT <= end) {
        __builtin_memcpy(to, from, SHORT * sizeof(REAL)); /* seldom across two lines, as whole vectors are */
        return;
    }
    for (; step == 1 && i < count && from + i + LANES <= end; i += LANES)
        NAME(store)(to + i, NAME(load)(from + i));
    for (; i < count; i++)
        to[i] = from[i * step];
}

/* The windows of a box, `pitch` from each other. */
static void NAME(windows_gather)(REAL *rows, idx pitch, const NAME(view) *view, const lattice *lat, idx images, const REAL *end)
{
    const conv_axis *h = &lat->h, *w = &lat->w;
    for (idx n = 0; n < images; n++)
        for (idx y = 0; y < h->grid; y++)
            for (idx x = 0; x < w->grid; x++, rows += pitch) {
                const REAL *const point = view->base + NAME(view_point)(view, n, y, x);
                REAL *to = rows;
                for (idx c = 0; c < lat->source_channels; c++)
                    for (idx th = 0; th < h->taps; th++, to += w->taps)
                        NAME(window_run)(to, point + NAME(view_tap)(view, c, th, 0), w->taps, view->tap_column, end);
            }
}

static void NAME(windows_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const idx parts = ceil_div(p->oc, plan->depth), o0 = index % parts * plan->depth, group = index / parts % p->groups;
    const idx first = index / parts / p->groups * plan->chunk_n, images = min_idx(plan->chunk_n, p->n - first);
    const idx k = p->ic * p->kh * p->kw, points = p->oh * p->ow, count = min_idx(plan->depth, p->oc - o0), channel = group * p->oc + o0;
    matrix_product product = {
        .m = images * points, .rows = images * points, .n = count, .columns = count, .k = k, .points = points,
        .a_row = p->groups * k, .a_col = 1, .b = (const REAL *)call->weights + channel * k, .b_row = 1, .b_col = k,
        .c = (REAL *)call->dst + (first * p->groups * p->oc + channel) * points, .c_row = p->groups * p->oc * points,
        .bias = call->bias ? (const REAL *)call->bias + channel : NULL, .relu = p->activation == CONV_RELU};
    const NAME(task) t = {.group = group, .lat = plan_lattice(plan, 0, 0)};
    const NAME(source) src = NAME(task_source)(call, &t);
    if (windows_in_place(plan)) {
        product.a = src.first + first * src.image;
    } else {
        REAL *const rows = (REAL *)(call->scratch + worker * plan->task_bytes), *const packed = rows + (plan->chunk_n * points + 1) * windows_pitch(plan);
        const NAME(box) box = {.n0 = first, .n = images, .h = p->oh, .w = p->ow};
        const NAME(view) view = NAME(box_view)(&src, &t.lat, &box, 0, p->ic, packed);
        product.a = rows;
        product.a_row = windows_pitch(plan);
        NAME(windows_gather)(rows, product.a_row, &view, &t.lat, images, lattice_inside(&t.lat) ? src.end : (const REAL *)(call->scratch + (worker + 1) * plan->task_bytes));
    }
    NAME(dots_task)(&product, 0, worker);
}
