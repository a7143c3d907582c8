/* SPDX-License-Identifier: Apache-2.0 */
/* The loop and its thread; run it under ThreadSanitizer as well. */
#include "core/loop.h"
#include "support/failure.h"
#include "support/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* An eventfd that counts how often it was seen ready. */
struct bell {
    struct loop_source source;
    struct loop *loop;
    struct bell *silences; /* another one, which it stops watching */
    unsigned rings;
    sem_t rang;
};

static void on_ring(struct loop_source *source, uint32_t events)
{
    struct bell *bell = (struct bell *)source;
    eventfd_t count;

    assert_true(events & EPOLLIN);
    eventfd_read(source->fd, &count);
    bell->rings++;
    if (bell->silences)
        loop_watch(bell->loop, &bell->silences->source, 0);
    sem_post(&bell->rang);
}

static void bell_open(struct bell *bell, struct loop *loop)
{
    *bell = (struct bell){.source = {.fd = eventfd(0, EFD_CLOEXEC), .ready = on_ring},
                          .loop = loop};
    sem_init(&bell->rang, 0, 0);
    assert_int_equal(loop_watch(loop, &bell->source, EPOLLIN), 0);
}

static void bell_close(struct bell *bell)
{
    sem_destroy(&bell->rang);
    close(bell->source.fd);
}

static void serves_ready_sources(void **state)
{
    struct loop loop;
    struct bell bell;

    (void)state;
    assert_int_equal(loop_open(&loop, NULL), 0);
    bell_open(&bell, &loop);
    assert_int_equal(pump(&loop, 0), 0);
    eventfd_write(bell.source.fd, 1);
    assert_int_equal(pump(&loop, 0), 1);
    assert_int_equal(bell.rings, 1);
    assert_int_equal(loop_watch(&loop, &bell.source, 0), 0);
    eventfd_write(bell.source.fd, 1);
    assert_int_equal(pump(&loop, 0), 0);
    assert_int_equal(loop_watch(&loop, &bell.source, EPOLLIN), 0);
    assert_int_equal(pump(&loop, 0), 1);
    assert_int_equal(bell.rings, 2);
    bell_close(&bell);
    loop_close(&loop);
}

static void says_what_cannot_be_watched(void **state)
{
    char path[] = "/tmp/husk-loop-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    struct loop_source file = {.fd = fd, .ready = on_ring};
    struct loop_source closed = {.fd = -1, .ready = on_ring};
    struct loop loop;

    (void)state;
    unlink(path);
    assert_int_equal(loop_open(&loop, NULL), 0);
    assert_int_equal(loop_watch(&loop, &file, EPOLLIN), -EPERM);
    assert_int_equal(file.events, 0);
    assert_int_equal(loop_watch(&loop, &closed, EPOLLIN), -EBADF);
    assert_int_equal(loop_watch(&loop, &closed, 0), 0);
    loop_close(&loop);
    close(fd);
}

static void serves_on_its_thread(void **state)
{
    struct loop loop;
    struct bell bell;

    (void)state;
    assert_int_equal(loop_open(&loop, NULL), 0);
    bell_open(&bell, &loop);
    assert_int_equal(loop_start(&loop, NULL), 0);
    for (int i = 0; i < 100; i++) {
        eventfd_write(bell.source.fd, 1);
        sem_wait(&bell.rang);
    }
    loop_stop(&loop);
    assert_int_equal(bell.rings, 100);
    bell_close(&bell);
    loop_close(&loop);
}

struct visit {
    struct loop *loop;
    pthread_t thread;
    unsigned count;
    bool signals_blocked;
};

static void note_visit(void *argument)
{
    struct visit *visit = argument;
    sigset_t blocked;

    pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    visit->signals_blocked = sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGPIPE);
    visit->thread = pthread_self();
    visit->count++;
}

static void skips_a_source_that_was_silenced_in_the_same_batch(void **state)
{
    struct loop loop;
    struct bell a, b;
    struct visit visit = {.loop = &loop};

    (void)state;
    assert_int_equal(loop_open(&loop, NULL), 0);
    bell_open(&a, &loop);
    bell_open(&b, &loop);
    a.silences = &b;
    b.silences = &a;
    /* Both are ready before the thread starts, so its first wait returns both. */
    eventfd_write(a.source.fd, 1);
    eventfd_write(b.source.fd, 1);
    assert_int_equal(loop_start(&loop, NULL), 0);
    loop_call(&loop, note_visit, &visit); /* runs after the batch */
    loop_stop(&loop);
    assert_int_equal(a.rings + b.rings, 1);
    bell_close(&a);
    bell_close(&b);
    loop_close(&loop);
}

static void note_nested_visit(void *argument)
{
    struct visit *visit = argument;

    loop_call(visit->loop, note_visit, visit); /* on the loop's own thread: a plain call */
}

static void calls_run_on_the_loops_thread(void **state)
{
    struct loop loop;
    struct visit visit = {.loop = &loop};

    (void)state;
    assert_int_equal(loop_open(&loop, NULL), 0);
    assert_int_equal(loop_start(&loop, NULL), 0);
    loop_call(&loop, note_visit, &visit);
    assert_true(visit.signals_blocked);
    assert_int_equal(visit.count, 1);
    assert_true(pthread_equal(visit.thread, loop.thread));
    loop_call(&loop, note_nested_visit, &visit);
    assert_int_equal(visit.count, 2);
    loop_stop(&loop);
    loop_close(&loop);
}

static void *call_from_thread(void *argument)
{
    struct visit *visit = argument;

    loop_call(visit->loop, note_visit, visit);
    return NULL;
}

static void announced_calls_wait_for_the_thread(void **state)
{
    struct loop loop;
    struct visit visit = {.loop = &loop};
    pthread_t caller;
    bool asked = false;

    (void)state;
    assert_int_equal(loop_open(&loop, NULL), 0);
    loop_announce(&loop);
    assert_int_equal(pthread_create(&caller, NULL, call_from_thread, &visit), 0);
    while (!asked) {
        pthread_mutex_lock(&loop.lock);
        asked = loop.calls;
        pthread_mutex_unlock(&loop.lock);
    }
    assert_int_equal(visit.count, 0);
    assert_int_equal(loop_start(&loop, NULL), 0);
    pthread_join(caller, NULL);
    assert_int_equal(visit.count, 1);
    assert_true(pthread_equal(visit.thread, loop.thread));
    loop_stop(&loop);
    loop_close(&loop);
}

static void calls_are_plain_when_no_thread_runs(void **state)
{
    struct loop loop;
    struct visit visit = {.loop = &loop};

    (void)state;
    assert_int_equal(loop_open(&loop, NULL), 0);
    loop_call(&loop, note_visit, &visit);
    assert_true(pthread_equal(visit.thread, pthread_self()));
    assert_int_equal(loop_start(&loop, NULL), 0);
    loop_stop(&loop);
    loop_call(&loop, note_visit, &visit);
    assert_true(pthread_equal(visit.thread, pthread_self()));
    assert_int_equal(visit.count, 2);
    loop_stop(&loop); /* once more is harmless */
    loop_close(&loop);
}

static void *call_often(void *argument)
{
    struct visit *visit = argument;

    for (int i = 0; i < 500; i++)
        loop_call(visit->loop, note_visit, visit);
    return NULL;
}

/* Nothing but the loop's thread touches the count, so none of the calls may be lost. */
static void calls_of_many_threads_are_served_one_by_one(void **state)
{
    struct loop loop;
    struct visit visit = {.loop = &loop};
    pthread_t threads[4];

    (void)state;
    assert_int_equal(loop_open(&loop, NULL), 0);
    assert_int_equal(loop_start(&loop, NULL), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, &visit), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(visit.count, 2000);
    loop_stop(&loop);
    loop_close(&loop);
}

struct order {
    sem_t entered;
    sem_t go;
    char letters[8];
};

static void block_the_loop(void *argument)
{
    struct order *order = argument;

    sem_post(&order->entered);
    sem_wait(&order->go);
}

struct letter {
    struct loop *loop;
    struct order *order;
    char letter;
};

static void append_letter(void *argument)
{
    struct letter *letter = argument;

    letter->order->letters[strlen(letter->order->letters)] = letter->letter;
}

static void *call_with_letter(void *argument)
{
    struct letter *letter = argument;

    if (letter->letter == '-')
        loop_call(letter->loop, block_the_loop, letter->order);
    else
        loop_call(letter->loop, append_letter, letter);
    return NULL;
}

static bool has_call(struct loop *loop, unsigned wanted)
{
    unsigned count = 0;

    pthread_mutex_lock(&loop->lock);
    /* The calls are opaque; a chain starts with its next pointer. */
    for (void **call = (void **)loop->calls; call; call = *call)
        count++;
    pthread_mutex_unlock(&loop->lock);
    return count == wanted;
}

static void calls_run_oldest_first(void **state)
{
    struct order order = {.letters = ""};
    struct loop loop;
    struct letter letters[] = {{&loop, &order, '-'}, {&loop, &order, 'a'},
                               {&loop, &order, 'b'}, {&loop, &order, 'c'}};
    pthread_t threads[4];

    (void)state;
    sem_init(&order.entered, 0, 0);
    sem_init(&order.go, 0, 0);
    assert_int_equal(loop_open(&loop, NULL), 0);
    assert_int_equal(loop_start(&loop, NULL), 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, call_with_letter, &letters[i]), 0);
        if (i == 0)
            sem_wait(&order.entered);
        while (!has_call(&loop, i))
            sched_yield();
    }
    sem_post(&order.go);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_string_equal(order.letters, "abc");
    loop_stop(&loop);
    loop_close(&loop);
    sem_destroy(&order.entered);
    sem_destroy(&order.go);
}

static void a_held_loop_serves_calls_alone(void **state)
{
    struct loop loop;
    struct bell bell;
    struct visit visit = {.loop = &loop};

    (void)state;
    assert_int_equal(loop_open(&loop, NULL), 0);
    bell_open(&bell, &loop);
    assert_int_equal(loop_start(&loop, NULL), 0);
    loop_hold(&loop, true);
    eventfd_write(bell.source.fd, 1);
    for (unsigned i = 0; i < 100; i++)
        loop_call(&loop, note_visit, &visit);
    assert_int_equal(visit.count, 100);
    assert_int_equal(sem_trywait(&bell.rang), -1);
    loop_hold(&loop, false);
    sem_wait(&bell.rang);
    loop_hold(&loop, true);
    loop_stop(&loop); /* being held does not keep it */
    assert_int_equal(bell.rings, 1);
    bell_close(&bell);
    loop_close(&loop);
}

static void stopping_serves_what_was_asked_for(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        struct loop loop;
        struct visit visit = {.loop = &loop};
        pthread_t caller;

        assert_int_equal(loop_open(&loop, NULL), 0);
        assert_int_equal(loop_start(&loop, NULL), 0);
        assert_int_equal(pthread_create(&caller, NULL, call_often, &visit), 0);
        loop_stop(&loop);
        pthread_join(caller, NULL);
        assert_int_equal(visit.count, 500);
        loop_close(&loop);
    }
}

/* --- polling --- */

/* A counter of work to be done, which shows in memory, and a bell for when the loop sleeps. */
struct work {
    struct loop_poll poll;
    struct bell bell;
    atomic_uint todo;
    atomic_uint done;
    atomic_bool asleep; /* whoever adds work must ring the bell */
    unsigned looks, sleeps, late; /* late: what comes while the loop falls asleep */
};

static bool look(struct loop_poll *poll)
{
    struct work *work = (struct work *)poll;

    work->looks++;
    atomic_store(&work->asleep, false);
    if (atomic_load(&work->todo) == 0)
        return false;
    atomic_fetch_sub(&work->todo, 1);
    atomic_fetch_add(&work->done, 1);
    return true;
}

static bool fall_asleep(struct loop_poll *poll)
{
    struct work *work = (struct work *)poll;

    work->sleeps++;
    atomic_store(&work->asleep, true);
    if (work->late > 0) {
        work->late--;
        atomic_fetch_add(&work->todo, 1);
    }
    return atomic_load(&work->todo) > 0;
}

static void work_open(struct work *work, struct loop *loop)
{
    *work = (struct work){.poll = {.look = look, .sleep = fall_asleep}};
    assert_int_equal(loop_open(loop, NULL), 0);
    bell_open(&work->bell, loop);
    loop_add_poll(loop, &work->poll);
}

static void work_close(struct work *work, struct loop *loop)
{
    loop_close(loop);
    bell_close(&work->bell);
}

static void work_in_memory_is_done_before_the_loop_waits(void **state)
{
    struct loop loop;
    struct work work;

    (void)state;
    work_open(&work, &loop);
    work.todo = 3;
    for (unsigned turn = 1; turn <= 3; turn++) {
        assert_int_equal(pump(&loop, PUMP_PATIENCE_MS), 1);
        assert_int_equal(work.done, turn);
        assert_int_equal(work.sleeps, 0);
    }
    assert_int_equal(pump(&loop, 0), 0);
    assert_int_equal(work.sleeps, 1);
    work_close(&work, &loop);
}

static void work_that_comes_while_the_loop_falls_asleep_is_not_lost(void **state)
{
    struct loop loop;
    struct work work;

    (void)state;
    work_open(&work, &loop);
    work.late = 1;
    assert_int_equal(pump(&loop, PUMP_PATIENCE_MS), 1); /* refuses to wait */
    assert_int_equal(work.done, 0);
    assert_int_equal(pump(&loop, PUMP_PATIENCE_MS), 1);
    assert_int_equal(work.done, 1);
    work_close(&work, &loop);
}

static void what_is_not_looked_at_any_more_keeps_nobody_awake(void **state)
{
    struct loop loop;
    struct work work;
    unsigned looks;

    (void)state;
    work_open(&work, &loop);
    pump(&loop, 0);
    looks = work.looks;
    loop_remove_poll(&loop, &work.poll);
    loop_remove_poll(&loop, &work.poll);
    work.todo = 1;
    assert_int_equal(pump(&loop, 0), 0);
    assert_int_equal(work.looks, looks);
    work_close(&work, &loop);
}

/* Waits of a few microseconds open the window; one long wait closes it. */
static void the_window_follows_the_waits(void **state)
{
    struct loop loop;
    struct work work;

    (void)state;
    work_open(&work, &loop);
    for (unsigned i = 0; i < 100000 && loop.window == 0; i++) {
        eventfd_write(work.bell.source.fd, 1); /* there at once, so the wait is short */
        assert_int_equal(pump(&loop, PUMP_PATIENCE_MS), 1);
    }
    assert_true(loop.window > 0);
    assert_int_equal(pump(&loop, 1), 0);
    assert_int_equal(loop.window, 0);
    work_close(&work, &loop);
}

/* Another thread adds work without a system call but when the loop sleeps; all of it is done. */
static void no_wake_up_is_lost_between_looking_and_sleeping(void **state)
{
    const unsigned count = 20000;
    struct loop loop;
    struct work work;

    (void)state;
    work_open(&work, &loop);
    assert_int_equal(loop_start(&loop, NULL), 0);
    for (unsigned i = 1; i <= count; i++) {
        atomic_fetch_add(&work.todo, 1);
        if (atomic_load(&work.asleep))
            eventfd_write(work.bell.source.fd, 1);
        while (atomic_load(&work.done) < i)
            sched_yield(); /* ctest's time limit is the limit */
    }
    loop_stop(&loop);
    assert_int_equal(work.done, count);
    work_close(&work, &loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serves_ready_sources),
        cmocka_unit_test(says_what_cannot_be_watched),
        cmocka_unit_test(skips_a_source_that_was_silenced_in_the_same_batch),
        cmocka_unit_test(serves_on_its_thread),
        cmocka_unit_test(calls_run_on_the_loops_thread),
        cmocka_unit_test(announced_calls_wait_for_the_thread),
        cmocka_unit_test(calls_are_plain_when_no_thread_runs),
        cmocka_unit_test(calls_of_many_threads_are_served_one_by_one),
        cmocka_unit_test(calls_run_oldest_first),
        cmocka_unit_test(a_held_loop_serves_calls_alone),
        cmocka_unit_test(stopping_serves_what_was_asked_for),
        cmocka_unit_test(work_in_memory_is_done_before_the_loop_waits),
        cmocka_unit_test(work_that_comes_while_the_loop_falls_asleep_is_not_lost),
        cmocka_unit_test(what_is_not_looked_at_any_more_keeps_nobody_awake),
        cmocka_unit_test(the_window_follows_the_waits),
        cmocka_unit_test(no_wake_up_is_lost_between_looking_and_sleeping),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
