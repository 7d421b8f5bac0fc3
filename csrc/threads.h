/* threads.h -- a small pool: each worker has a share of a region's tasks and takes from the others' when it is done; the caller works too. */
#ifndef FASTCONV_THREADS_H
#define FASTCONV_THREADS_H

#include "conv.h"

/* Runs task(context, i, worker) for i in [0, tasks), worker in [0, threads). Returns when all are done. Without a free
 * pool (another call is in it, a worker could not be started) the caller does the tasks alone: never an error. */
typedef void threads_task(const void *context, idx i, int worker);
void threads_run(int threads, idx tasks, threads_task *task, const void *context);

/* CPUs that this process may use: affinity, and the container's quota where there is one. */
int threads_available(void);

#define THREADS_MAX 256

#endif
