/* whole -- fwd by a kernel as large as its image: the images times the kernels of some output channels of a group, row by row (dots_tpl.h). */
static void NAME(whole_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    const conv_plan *plan = call->plan;
    const conv_problem *p = &plan->p;
    const idx parts = ceil_div(p->oc, plan->depth), group = index / parts, o0 = index % parts * plan->depth, k = p->ic * p->kh * p->kw;
    const idx count = min_idx(plan->depth, p->oc - o0), channel = group * p->oc + o0;
    const matrix_product product = {
        .m = p->n, .rows = p->n, .n = count, .columns = count, .k = k, .a = (const REAL *)call->src + group * k, .a_row = p->groups * k,
        .a_col = 1, .b = (const REAL *)call->weights + channel * k, .b_row = 1, .b_col = k, .c = (REAL *)call->dst + channel,
        .c_row = p->groups * p->oc, .bias = call->bias ? (const REAL *)call->bias + channel : NULL, .relu = p->activation == CONV_RELU};
    NAME(dots_task)(&product, 0, worker);
}
