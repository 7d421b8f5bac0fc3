/* elementwise -- what surrounds the products: ReLU and its gradient, cross-entropy, the gradient of a bias, SGD, Adam. */
static void NAME(relu_run)(idx n, const void *x_, void *y_)
{
    const REAL *x = x_;
    REAL *y = y_;
    for (idx i = 0; i < n; i++)
        y[i] = x[i] < 0 ? 0 : x[i]; /* keeps a NaN */
}

static void NAME(relu_grad_run)(idx n, const void *dy_, const void *y_, void *dx_)
{
    const REAL *dy = dy_, *y = y_;
    REAL *dx = dx_;
    for (idx i = 0; i < n; i++)
        dx[i] = y[i] > 0 ? dy[i] : 0;
}

/* sum of p[0..count), in blocks: each lane sums at most 128 terms before its sum is added to the others'. */
static REAL NAME(sum_run)(const REAL *p, idx count)
{
    vec total = {0};
    REAL sum = 0;
    idx i = 0;
    while (i + LANES <= count) {
        vec block = {0};
        for (idx end = min_idx(count, i + 128 * LANES); i + LANES <= end; i += LANES)
            block += NAME(load)(p + i);
        total += block;
    }
    for (int lane = 0; lane < LANES; lane++)
        sum += total[lane];
    REAL tail = 0;
    for (; i < count; i++)
        tail += p[i];
    return sum + tail;
}

#define BIAS_COLUMNS 512 /* sums at a time, on the stack */

/* sums[j] = sum over n of dy[n * row + j], j < columns, in blocks of accumulation. */
static void NAME(column_sums)(REAL *sums, const REAL *dy, idx n, idx row, idx columns, const REAL *end)
{
    const idx block = accumulation_block(n);
    for (idx j = 0; j < columns; j += LANES) {
        vec total = {0};
        for (idx n0 = 0; n0 < n; n0 += block) {
            vec sum = {0};
            for (idx i = n0; i < min_idx(n0 + block, n); i++)
                sum += NAME(load_some)(dy + i * row + j, columns - j, end);
            total += sum;
        }
        NAME(store)(sums + j, total);
    }
}

/* db[c] = sum of dy over images and positions: short planes by columns of all images, others plane by plane. */
static void NAME(bias_grad_run)(const conv_problem *p, const void *dy_, void *db_)
{
    const idx channels = p->groups * p->oc, points = p->oh * p->ow, row = channels * points;
    const REAL *dy = dy_, *end = dy + p->n * row;
    REAL *db = db_, sums[BIAS_COLUMNS + 2 * LANES];
    if (p->layout != CONV_IMAGES) {
        NAME(batch_bias)(p, dy, db);
        return;
    }
    const idx most = points > BIAS_COLUMNS / 2 ? 0 : BIAS_COLUMNS / max_idx(1, points);
    for (idx c = 0, count; c < channels; c += count) {
        count = min_idx(max_idx(1, most), channels - c);
        if (most > 0) {
            NAME(column_sums)(sums, dy + c * points, p->n, row, count * points, end);
            for (idx i = 0; i < count; i++)
                db[c + i] = points == 1 ? sums[i] : NAME(sum_run)(sums + i * points, points);
            continue;
        }
        const idx block = accumulation_block(p->n);
        db[c] = 0;
        for (idx n0 = 0; n0 < p->n; n0 += block) {
            REAL sum = 0;
            for (idx n = n0; n < min_idx(n0 + block, p->n); n++)
                sum += NAME(sum_run)(dy + n * row + c * points, points);
            db[c] += sum;
        }
    }
}

/* The greatest lane. */
static inline REAL NAME(highest)(vec v)
{
    REAL half[LANES];
    NAME(store)(half, v);
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int lane = 0; lane < width; lane++)
            half[lane] = half[lane] < half[lane + width] ? half[lane + width] : half[lane];
    return half[0];
}

/* exp(x) for x <= 0 or NaN, within 2 ulp; 0 where the result would be denormal. x = (n + f) ln 2 with |f| <= 1/2: the exponent
 * n is added to the bits of a polynomial in f ln 2, Taylor's, whose next term is below half an ulp. */
static inline vec NAME(exp)(vec x)
{
    static const double factorials[] = {1, 1, 2, 6, 24, 120, 720, 5040, 40320, 362880, 3628800, 39916800, 479001600, 6227020800.0};
    const int bits = sizeof(REAL) == 4 ? 23 : 52, degree = sizeof(REAL) == 4 ? 7 : 13;
    const REAL magic = (REAL)(sizeof(REAL) == 4 ? 12582912.0 : 6755399441055744.0); /* 1.5 * 2^bits: rounds to an integer */
    const REAL high = (REAL)(sizeof(REAL) == 4 ? 0.693359375 : 0.693145751953125);
    const REAL low = (REAL)(sizeof(REAL) == 4 ? -2.12194440054690583e-4 : 1.42860682030941723212e-6);
    const REAL least = (REAL)(sizeof(REAL) == 4 ? -87.0 : -708.0);
    const mask kept = x >= (vec){0} + least, nan = x != x;
    const vec given = x;
    x = (vec)((mask)x & kept); /* the bits of an infinity or a NaN would carry the exponent out of its own */
    const vec shifted = x * (REAL)1.4426950408889634 + magic, n = shifted - magic;
    const vec f = (x - n * high) - n * low;
    vec y = (vec){0} + (REAL)(1 / factorials[degree]);
#pragma GCC unroll 16
    for (int i = degree - 1; i >= 0; i--)
        y = y * f + (REAL)(1 / factorials[i]);
    y = (vec)((mask)y + ((mask)shifted << bits)); /* the low bits of `shifted` are n */
    return (vec)(((mask)y & kept) | ((mask)given & nan));
}

#define CROSS_FEW 64 /* classes of which rows are turned round on the stack */

/* cross_entropy_run of few classes: lanes over rows, which are turned round on their way in and out. */
static double NAME(cross_entropy_few)(idx n, idx classes, const REAL *x, const int64_t *labels, double divisor, REAL *dx)
{
    const REAL *const end = x + n * classes, *from[LANES];
    double total = 0, product = 1; /* of the sums, each at least 1: one logarithm for many of them */
    vec e[CROSS_FEW + LANES], turned[LANES];
    for (idx i = 0; i < n; i += LANES, x += LANES * classes, dx += LANES * classes, labels += LANES) {
        const idx rows = min_idx(LANES, n - i);
        for (idx c = 0; c < classes; c += LANES) {
            for (idx r = 0; r < LANES; r++)
                from[r] = x + min_idx(r, rows - 1) * classes + c;
            if (from[LANES - 1] + LANES <= end)
                NAME(turn)(e + c, from, LANES);
            else
                for (idx j = c; j < min_idx(c + LANES, classes); j++)
                    for (idx r = 0; r < LANES; r++)
                        e[j][r] = from[r][j - c];
        }
        vec most = e[0], sum = {0};
        for (idx c = 1; c < classes; c++) {
            const mask greater = e[c] > most;
            most = (vec)(((mask)e[c] & greater) | ((mask)most & ~greater));
        }
        for (idx c = 0; c < classes; c++)
            sum += e[c] = NAME(exp)(e[c] - most);
        const vec scale = 1 / (sum * (REAL)divisor);
        for (idx c = 0; c < classes; c += LANES) {
            REAL kept[LANES * LANES] __attribute__((aligned(VECTOR_BYTES)));
            for (idx j = 0; j < LANES; j++) {
                NAME(store)(kept + j * LANES, e[c + j] * scale); /* some are no classes, and not stored */
                from[j] = kept + j * LANES;
            }
            NAME(turn)(turned, from, LANES);
            for (idx r = 0; r < rows; r++)
                if (c + LANES <= classes)
                    NAME(store)(dx + r * classes + c, turned[r]);
                else
                    NAME(copy)(dx + r * classes + c, (const REAL *)&turned[r], classes - c);
        }
        for (idx r = 0; r < rows; r++) {
            dx[r * classes + labels[r]] -= (REAL)(1 / divisor);
            total -= (double)(x[r * classes + labels[r]] - most[r]);
            product *= (double)sum[r];
        }
        if (!(product < 1e200)) {
            total += log(product);
            product = 1;
        }
    }
    return total + log(product);
}

/* Softmax and negative log-likelihood of `labels`: returns the sum of the losses over n rows of `classes` logits and
 * writes its gradient, divided by `divisor`: (softmax - one_hot) / divisor. Labels have been checked. */
static double NAME(cross_entropy_run)(idx n, idx classes, const void *logits, const int64_t *labels, double divisor,
                                      void *grad)
{
    const REAL *x = logits, *const end = x + n * classes, lowest = (REAL)-INFINITY;
    REAL *dx = grad;
    double total = 0;
    if (classes <= CROSS_FEW && classes > 0)
        return NAME(cross_entropy_few)(n, classes, x, labels, divisor, dx);
    for (idx i = 0; i < n; i++, x += classes, dx += classes) {
        vec most = (vec){0} + lowest, sums = {0};
        for (idx j = 0; j < classes; j += LANES) {
            const mask inside = NAME(iota)() < (mask){0} + (WORD)min_idx(LANES, classes - j);
            const vec v = NAME(load_some)(x + j, classes - j, end);
            const mask greater = (v > most) & inside;
            most = (vec)(((mask)v & greater) | ((mask)most & ~greater));
        }
        const REAL highest = NAME(highest)(most);
        for (idx j = 0; j < classes; j += LANES) {
            const mask inside = NAME(iota)() < (mask){0} + (WORD)min_idx(LANES, classes - j);
            const vec e = (vec)((mask)NAME(exp)(NAME(load_some)(x + j, classes - j, end) - highest) & inside);
            REAL kept[LANES];
            sums += e;
            NAME(store)(kept, e);
            for (idx lane = 0; lane < min_idx(LANES, classes - j); lane++)
                dx[j + lane] = kept[lane];
        }
        const double sum = (double)NAME(sum)(sums);
        const REAL scale = (REAL)(1 / (sum * divisor));
        for (idx j = 0; j < classes; j++)
            dx[j] *= scale;
        dx[labels[i]] -= (REAL)(1 / divisor);
        total += log(sum) - (double)(x[labels[i]] - highest);
    }
    return total;
}

/* One step of stochastic gradient descent as PyTorch defines it; velocity NULL: without momentum. */
static void NAME(sgd_run)(idx n, void *data_, const void *grad_, void *velocity_, const sgd_settings *s)
{
    REAL *restrict data = data_, *restrict velocity = velocity_;
    const REAL *restrict grad = grad_;
    const REAL lr = (REAL)s->lr, decay = (REAL)s->weight_decay, momentum = (REAL)s->momentum;
    const REAL fresh = (REAL)(1 - s->dampening);
    if (!velocity) {
        for (idx i = 0; i < n; i++)
            data[i] -= lr * (grad[i] + decay * data[i]);
        return;
    }
    for (idx i = 0; i < n; i++) {
        const REAL g = grad[i] + decay * data[i];
        velocity[i] = s->first ? g : momentum * velocity[i] + fresh * g;
        data[i] -= lr * (s->nesterov ? g + momentum * velocity[i] : velocity[i]);
    }
}

/* One step of Adam: data -= rate * mean / (sqrt(square) / root + eps), `rate` and `root` corrected for the bias of the
 * running means. */
static void NAME(adam_run)(idx n, void *data_, const void *grad_, void *mean_, void *square_, const adam_settings *s)
{
    REAL *restrict data = data_, *restrict mean = mean_, *restrict square = square_;
    const REAL *restrict grad = grad_;
    const REAL rate = (REAL)s->rate, root = (REAL)s->root, eps = (REAL)s->eps, decay = (REAL)s->weight_decay;
    const REAL beta = (REAL)s->beta2, fresh1 = (REAL)(1 - s->beta1), fresh2 = (REAL)(1 - s->beta2);
    for (idx i = 0; i < n; i++) {
        const REAL g = grad[i] + decay * data[i];
        mean[i] += fresh1 * (g - mean[i]);
        square[i] = beta * square[i] + fresh2 * (g * g);
        data[i] -= rate * mean[i] / (SQRT(square[i]) / root + eps);
    }
}
