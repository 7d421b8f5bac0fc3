/* lattices.h -- the lattices of a plan, points whose taps are the same, and where their weights lie. */
#ifndef FASTCONV_LATTICES_H
#define FASTCONV_LATTICES_H

#include "axes.h"
#include "tiles.h"

/* The lattice of a plan's phase (ph, pw); {0} grids are possible. */
static inline lattice plan_lattice(const conv_plan *plan, idx phase_h, idx phase_w)
{
    const conv_problem *p = &plan->p;
    if (p->pass != CONV_BWD_DATA)
        return (lattice){axis_fwd(p->ih, p->oh, p->kh, p->stride_h, p->dil_h, p->pad_top),
                         axis_fwd(p->iw, p->ow, p->kw, p->stride_w, p->dil_w, p->pad_left), p->ic, p->oc};
    int folded = p->pad_mode != CONV_ZEROS;
    return (lattice){axis_bwd_data(p->ih, p->oh, p->kh, p->stride_h, p->dil_h, p->pad_top, p->pad_bottom, folded, phase_h),
                     axis_bwd_data(p->iw, p->ow, p->kw, p->stride_w, p->dil_w, p->pad_left, p->pad_right, folded, phase_w),
                     p->oc, p->ic};
}

/* Terms of a block of its sums: whole channels, so that they are cut alike where some taps meet padding and are left out. */
static inline idx lattice_block(const lattice *lat)
{
    const idx taps = lat->h.taps * lat->w.taps, k = lat->source_channels * taps, block = even(k, accumulation_block(k));
    return block >= taps ? block / max_idx(1, taps) * taps : block;
}

/* From one row of a lattice's weights to the next: laid out by prepare, or without gaps. */
static inline idx weights_pitch(const conv_plan *plan, idx k)
{
    return plan->weights == WEIGHTS_BY_ROWS ? line_pitch(k, dtype_bytes(plan->p.dtype)) : k;
}

/* Elements of the weights of a group that are laid out, before those of lattice (phase_h, phase_w). */
static inline idx weights_before(const conv_plan *plan, idx phase_h, idx phase_w)
{
    idx sum = 0;
    for (idx i = 0; i <= phase_h; i++)
        for (idx j = 0; j < (i < phase_h ? plan->phases_w : phase_w); j++) {
            const lattice lat = plan_lattice(plan, i, j);
            sum += lat.result_channels * weights_pitch(plan, lat.source_channels * lat.h.taps * lat.w.taps);
        }
    return sum;
}

/* Of a whole group. */
static inline idx weights_laid_out(const conv_plan *plan)
{
    return weights_before(plan, plan->phases_h - 1, plan->phases_w);
}

/* The lattice that a task of `channels` packs: that of the plan, or for a gradient the envelope of all. */
static inline lattice plan_envelope(const conv_plan *plan)
{
    lattice all = plan_lattice(plan, 0, 0);
    if (plan->p.pass == CONV_BWD_DATA) {
        all.h = axis_envelope(&plan->p, 1, plan->phases_h);
        all.w = axis_envelope(&plan->p, 0, plan->phases_w);
    }
    return all;
}

/* Whether its points follow each other in the result, row after row. */
static inline int lattice_dense(const lattice *lat)
{
    return lat->h.out_step == 1 && lat->w.out_step == 1 && lat->w.grid == lat->w.out_size;
}

static inline int lattice_inside(const lattice *lat)
{
    return axis_inside(&lat->h) && axis_inside(&lat->w);
}

#endif
