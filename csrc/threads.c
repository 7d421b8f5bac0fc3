/* threads -- a pool of pthreads that sleep when idle and survive fork.
 *
 * One region at a time owns the pool; a second caller finds it taken and works alone, so that concurrent calls never
 * wait for each other. Workers are started on first use, look for the next region for
 * a millisecond before they sleep on a condition variable, and are detached: a child after
 * fork has none of them and starts with an empty pool of its own (pthread_atfork). The split of tasks over threads is
 * free because no task's result depends on who runs it.
 */
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include "threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cpu.h"

#define LOOKS 1000000 /* nanoseconds, in which a thread looks for what it waits for before it sleeps (decisions/0001) */

/* A worker's own share of the tasks, on a line of its own: the others take from it when theirs are done. */
typedef struct {
    _Alignas(64) atomic_ptrdiff_t next;
    idx end;
} share;

typedef struct {
    threads_task *task;
    const void *context;
    int shares;
    share share[THREADS_MAX];
} region;

static struct {
    pthread_mutex_t owner;  /* held by the caller whose region runs */
    pthread_mutex_t lock;   /* guards what follows */
    pthread_cond_t wake, done;
    int workers;            /* started: worker i is the i-th of them in every region, so that it meets what it wrote in the last one */
    int shares;             /* of the last region */
    int open;               /* of the current one, whose workers may join; 0: none */
    atomic_uint regions;    /* so far; read without the lock, too */
    atomic_uint inside;     /* workers inside the current region; likewise */
    region *current;
} pool = {.owner = PTHREAD_MUTEX_INITIALIZER,
          .lock = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER,
          .done = PTHREAD_COND_INITIALIZER};

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t nanoseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Looks for another value than `old` until a time: whether there is one. Who else could run on this CPU does. */
static int await(const atomic_uint *value, unsigned old, int64_t until)
{
    do {
        for (int i = 0; i < 64; i++) {
            if (atomic_load_explicit(value, memory_order_relaxed) != old)
                return 1;
            relax();
        }
        sched_yield();
    } while (nanoseconds() < until);
    return 0;
}

/* A worker's own share, in order; then what the others have left. */
static void work(region *r, int worker)
{
    for (int k = 0; k < r->shares; k++) {
        share *s = &r->share[(worker + k) % r->shares];
        idx i;
        while ((i = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed)) < s->end)
            r->task(r->context, i, worker);
    }
}

static void *worker_main(void *number)
{
    const int worker = (int)(intptr_t)number; /* the caller is worker 0 */
    unsigned seen = 0;
    cpu_flush_denormals();
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        if (worker < pool.shares) { /* and so most likely in the next */
            pthread_mutex_unlock(&pool.lock);
            await(&pool.regions, seen, nanoseconds() + LOOKS);
            pthread_mutex_lock(&pool.lock);
        }
        while (seen == pool.regions)
            pthread_cond_wait(&pool.wake, &pool.lock);
        seen = pool.regions;
        if (worker >= pool.open) /* over by now, or for others */
            continue;
        region *r = pool.current;
        pool.inside++;
        pthread_mutex_unlock(&pool.lock);
        work(r, worker);
        pthread_mutex_lock(&pool.lock);
        if (--pool.inside == 0)
            pthread_cond_signal(&pool.done);
    }
    return NULL;
}

/* A child has the caller's thread alone: whatever the pool held belongs to the parent. */
static void reset_in_child(void)
{
    pthread_mutex_init(&pool.owner, NULL);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.wake, NULL);
    pthread_cond_init(&pool.done, NULL);
    pool.workers = pool.shares = pool.open = 0;
    pool.inside = 0;
    pool.current = NULL;
}

static void register_fork_handler(void)
{
    pthread_atfork(NULL, NULL, reset_in_child);
}

static void start_workers(int count)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_fork_handler);
    while (pool.workers < count) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, worker_main, (void *)(intptr_t)(pool.workers + 1)) != 0)
            return;
        pthread_detach(thread);
        pool.workers++;
    }
}

/* The end of a region: most often there is less left to do than sleeping and waking would take. */
static void wait_for_workers(void)
{
    pthread_mutex_lock(&pool.lock);
    pool.open = 0; /* who has not woken by now is not needed */
    pthread_mutex_unlock(&pool.lock);
    const int64_t until = nanoseconds() + LOOKS;
    for (unsigned inside; (inside = pool.inside) > 0 && await(&pool.inside, inside, until);)
        continue;
    pthread_mutex_lock(&pool.lock);
    while (pool.inside > 0)
        pthread_cond_wait(&pool.done, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
}

void threads_run(int threads, idx tasks, threads_task *task, const void *context)
{
    if (threads > tasks)
        threads = (int)tasks;
    if (threads <= 1 || pthread_mutex_trylock(&pool.owner) != 0) {
        for (idx i = 0; i < tasks; i++)
            task(context, i, 0);
        return;
    }
    region r;
    r.task = task, r.context = context, r.shares = threads;
    for (int i = 0; i < threads; i++) {
        r.share[i].next = tasks * i / threads;
        r.share[i].end = tasks * (i + 1) / threads;
    }
    pthread_mutex_lock(&pool.lock);
    start_workers(threads - 1);
    pool.current = &r;
    pool.open = pool.shares = threads;
    pool.regions++;
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);

    work(&r, 0);

    wait_for_workers();
    pthread_mutex_unlock(&pool.owner);
}

/* The container's CPU quota (cgroup v2, then v1) in whole CPUs, rounded up; 0 when there is none. */
static int quota(void)
{
    long long limit = 0, period = 0;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (f) {
        if (fscanf(f, "%lld %lld", &limit, &period) != 2)
            limit = 0;
        fclose(f);
    } else {
        static const char *const names[] = {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"};
        long long *const values[] = {&limit, &period};
        for (int i = 0; i < 2; i++) {
            f = fopen(names[i], "r");
            if (!f)
                return 0;
            if (fscanf(f, "%lld", values[i]) != 1)
                *values[i] = 0;
            fclose(f);
        }
    }
    return limit > 0 && period > 0 ? (int)((limit + period - 1) / period) : 0;
}

int threads_available(void)
{
    int limit = quota();
    long count = sysconf(_SC_NPROCESSORS_ONLN);
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        count = CPU_COUNT(&set);
#endif
    if (limit > 0 && limit < count)
        count = limit;
    return count < 1 ? 1 : count > THREADS_MAX ? THREADS_MAX : (int)count;
}
