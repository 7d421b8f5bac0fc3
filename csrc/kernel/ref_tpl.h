/* ref -- the seven loops of the forward pass: the oracle in C, chosen by name alone. Sums are kept in WIDE.
 *
 * A task is one output channel of one image. */
static void NAME(ref_task)(const void *context, idx index, int worker)
{
    const conv_call *call = context;
    (void)worker;
    const conv_problem *p = &call->plan->p;
    const idx channels = p->groups * p->oc, o = index % channels, n = index / channels, g = o / p->oc;
    const REAL *x = (const REAL *)call->src + (n * p->groups + g) * p->ic * p->ih * p->iw;
    const REAL *w = (const REAL *)call->weights + o * p->ic * p->kh * p->kw;
    REAL *y = (REAL *)call->dst + index * p->oh * p->ow;
    for (idx i = 0; i < p->oh; i++)
        for (idx j = 0; j < p->ow; j++) {
            WIDE sum = call->bias ? ((const REAL *)call->bias)[o] : 0;
            for (idx c = 0; c < p->ic; c++)
                for (idx a = 0; a < p->kh; a++)
                    for (idx b = 0; b < p->kw; b++) {
                        const idx row = pad_index(p->pad_mode, i * p->stride_h + a * p->dil_h - p->pad_top, p->ih);
                        const idx column = pad_index(p->pad_mode, j * p->stride_w + b * p->dil_w - p->pad_left, p->iw);
                        if (row >= 0 && column >= 0)
                            sum += (WIDE)w[(c * p->kh + a) * p->kw + b] * x[(c * p->ih + row) * p->iw + column];
                    }
            y[i * p->ow + j] = (REAL)(p->activation == CONV_RELU && sum < 0 ? 0 : sum);
        }
}
