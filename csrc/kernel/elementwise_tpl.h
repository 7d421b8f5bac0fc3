/* elementwise -- what surrounds the products: ReLU and its gradient, cross-entropy, the gradient of a bias, SGD. */
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

/* db[c] = sum of dy over images and positions, in blocks of images. */
static void NAME(bias_grad_run)(const conv_problem *p, const void *dy_, void *db_)
{
    const REAL *dy = dy_, *end = dy + p->n * p->groups * p->oc * p->oh * p->ow;
    REAL *db = db_;
    const idx channels = p->groups * p->oc, points = p->oh * p->ow;
    for (idx c = 0; c < channels; c++) {
        REAL sum = 0;
        for (idx n0 = 0; n0 < p->n; n0 += 64) {
            const REAL *from = dy + (n0 * channels + c) * points;
            REAL block = 0;
            vec lanes = {0}; /* short planes add up lane by lane */
            for (idx n = n0; n < min_idx(n0 + 64, p->n); n++, from += channels * points)
                if (points > 2 * LANES)
                    block += NAME(sum_run)(from, points);
                else
                    for (idx i = 0; i < points; i += LANES)
                        lanes += NAME(load_some)(from + i, points - i, end);
            sum += block + NAME(sum)(lanes);
        }
        db[c] = sum;
    }
}

/* Softmax and negative log-likelihood of `labels`: returns the sum of the losses over n rows of `classes` logits and
 * writes its gradient, divided by `divisor`: (softmax - one_hot) / divisor. Labels have been checked. */
static double NAME(cross_entropy_run)(idx n, idx classes, const void *logits, const int64_t *labels, double divisor,
                                      void *grad)
{
    const REAL *x = logits;
    REAL *dx = grad;
    double total = 0;
    for (idx i = 0; i < n; i++, x += classes, dx += classes) {
        REAL highest = x[0], sum = 0;
        for (idx j = 1; j < classes; j++)
            highest = x[j] > highest ? x[j] : highest;
        for (idx j = 0; j < classes; j++) {
            dx[j] = EXP(x[j] - highest);
            sum += dx[j];
        }
        const REAL scale = (REAL)(1 / ((double)sum * divisor));
        for (idx j = 0; j < classes; j++)
            dx[j] *= scale;
        dx[labels[i]] -= (REAL)(1 / divisor);
        total += log((double)sum) - (double)(x[labels[i]] - highest);
    }
    return total;
}

/* One step of stochastic gradient descent as PyTorch defines it; velocity NULL: without momentum. */
static void NAME(sgd_run)(idx n, void *data_, const void *grad_, void *velocity_, const sgd_settings *s)
{
    REAL *data = data_, *velocity = velocity_;
    const REAL *grad = grad_;
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
