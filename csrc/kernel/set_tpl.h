/* set -- the kernels of one dtype on one ISA, and their row of the table. */
#include "vector_tpl.h"
#include "tile_tpl.h"
#include "narrow_tpl.h"
#include "block_tpl.h"
#include "pack_tpl.h"
#include "view_tpl.h"
#include "conv_tpl.h"
#include "direct_tpl.h"
#include "channels_tpl.h"
#include "batch_tpl.h"
#include "batch_weights_tpl.h"
#include "winograd_weights_tpl.h"
#include "prepare_tpl.h"
#include "winograd_source_tpl.h"
#include "winograd_tpl.h"
#include "fft_tpl.h"
#include "fft_noise_tpl.h"
#include "fft_conv_tpl.h"
#include "planes_tpl.h"
#include "slide_walk_tpl.h"
#include "slide_tpl.h"
#include "slide_weights_tpl.h"
#include "stencil_tpl.h"
#include "scale_tpl.h"
#include "positions_tpl.h"
#include "weights_tpl.h"
#include "elementwise_tpl.h"
#include "matmul_tpl.h"
#include "col2im_tpl.h"
#include "col2im_rows_tpl.h"
#include "dots_tpl.h"
#include "windows_tpl.h"
#include "peak_tpl.h"
#include "ref_tpl.h"
#include "pool_tpl.h"
#include "reduce_tpl.h"
#include "resample_tpl.h"
#include "norm_tpl.h"
#include "activation_tpl.h"
#include "softmax_tpl.h"

static const kernel_set NAME(set) = {
    .lanes = LANES,
    .conv = {[KERNEL_DIRECT] = NAME(direct_task), [KERNEL_CHANNELS] = NAME(channels_task),
             [KERNEL_BATCH] = NAME(batch_task), [KERNEL_BATCH_WEIGHTS] = NAME(batch_weights_task),
             [KERNEL_WINOGRAD] = NAME(winograd_task), [KERNEL_FFT] = NAME(fft_task),
             [KERNEL_PLANES] = NAME(planes_task),
             [KERNEL_SLIDE] = NAME(slide_task), [KERNEL_SLIDE_WEIGHTS] = NAME(slide_weights_task), [KERNEL_STENCIL] = NAME(stencil_task),
             [KERNEL_GEMM] = NAME(gemm_task), [KERNEL_COL2IM] = NAME(col2im_task), [KERNEL_COL2IM_ROWS] = NAME(col2im_rows_task),
             [KERNEL_WINDOWS] = NAME(windows_task), [KERNEL_SCALE] = NAME(scale_task),
             [KERNEL_WEIGHTS] = NAME(weights_task), [KERNEL_OUTER] = NAME(outer_task),
             [KERNEL_DOT] = NAME(dot_task), [KERNEL_REF] = NAME(ref_task)},
    .prepare = NAME(prepare_task),
    .share_source = NAME(winograd_source_task),
    .pack = NAME(pack),
    .bias_grad = NAME(bias_grad_run),
    .batch_to_images = NAME(batch_to_images),
    .images_to_batch = NAME(images_to_batch),
    .matmul = NAME(matmul_task),
    .dots = NAME(dots_task),
    .cross_entropy = NAME(cross_entropy_run),
    .peak = NAME(peak_run),
    .sgd = NAME(sgd_run),
    .adam = NAME(adam_run),
    .relu = NAME(relu_run),
    .relu_grad = NAME(relu_grad_run),
    .max_pool = NAME(max_pool_run),
    .scatter = NAME(scatter_run),
    .gather = NAME(gather_run),
    .resample = NAME(resample_run),
    .batch_norm = NAME(batch_norm_run),
    .batch_norm_grad = NAME(batch_norm_grad_run),
    .leaky_relu = NAME(leaky_relu_run),
    .gelu = NAME(gelu_run),
    .softmax = NAME(softmax_run),
    .add = NAME(add_run),
};

#undef LANES
#undef vec
#undef mem
#undef mask
