import asyncio
import os
import signal
import time

import pytest

from mmmaskformer.serve.limits import Limits, Refused
from mmmaskformer.serve.pool import Pool
from tests.conftest import WARM
from tests.serve.sessions import make_nothing, make_puppet


async def nobody_left():
    return False


def with_pool(story, limits=None, workers=1):
    """Run `story(pool)` with workers that have started."""

    async def run():
        makes = [make_puppet] * workers
        pool = Pool(makes, limits or Limits(), WARM)
        await pool.start()
        try:
            return await story(pool)
        finally:
            await pool.stop()

    return asyncio.run(run())


async def refusal(awaitable):
    with pytest.raises(Refused) as caught:
        await awaitable
    return caught.value


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def ready(pool):
    while any(worker.description is None for worker in pool.workers):
        await asyncio.sleep(0.01)


def test_the_model_runs_in_another_process():
    async def story(pool):
        result = await pool.predict(b"", "a", nobody_left)
        assert result["pid"] == pool.description["pid"] != os.getpid()

    with_pool(story)


def test_quick_methods_do_not_wait_for_the_network():
    async def story(pool):
        slow = asyncio.create_task(pool.predict(b"sleep 60", "a", nobody_left))
        await asyncio.sleep(0.1)
        assert await pool.call("0-x", "echo", 7) == ("0-x", 7)
        assert not slow.done()
        slow.cancel()

    with_pool(story)


@pytest.mark.parametrize("key", ["1-x", "x", "-1", "", "0x1-a", "²-x"])
def test_photographs_of_no_worker(key):
    async def story(pool):
        assert (await refusal(pool.call(key, "echo", 7))).status == 404

    with_pool(story)


def test_what_a_session_says_arrives():
    async def story(pool):
        error = await refusal(pool.predict(b"refuse", "a.jpg", nobody_left))
        assert (error.status, error.text) == (422, "a.jpg is refused")
        error = await refusal(pool.predict(b"fail", "a.jpg", nobody_left))
        assert (error.status, error.text) == (500, "the program failed; its terminal shows where")
        assert (await pool.predict(b"", "b", nobody_left))["id"] == "0-x"

    with_pool(story)


def test_a_worker_that_crashes_starts_again():
    async def story(pool):
        first = pool.description["pid"]
        error = await refusal(pool.predict(b"exit", "a", nobody_left))
        assert (error.status, "the worker ended" in error.text) == (500, True)
        # The next photograph waits for the new process.
        assert (await pool.predict(b"", "b", nobody_left))["pid"] != first
        second = pool.description["pid"]
        os.kill(second, signal.SIGKILL)  # while it has nothing to do
        while pool.workers[0].description is not None:
            await asyncio.sleep(0.01)
        assert (await refusal(pool.call("0-x", "echo", 7))).retry_after > 0
        await ready(pool)
        assert pool.description["pid"] not in (first, second)

    with_pool(story)


def test_a_network_that_takes_too_long_is_ended():
    async def story(pool):
        first = pool.description["pid"]
        error = await refusal(pool.predict(b"sleep 60", "a.jpg", nobody_left))
        assert (error.status, error.text) == (504, "a.jpg took more than 0.3 s")
        while is_alive(first):
            await asyncio.sleep(0.01)
        await ready(pool)
        assert (await pool.predict(b"", "b", nobody_left))["pid"] != first

    with_pool(story, Limits(seconds=0.3))


def test_the_queue_has_an_end():
    async def story(pool):
        tasks = []
        for name in "abc":
            tasks.append(asyncio.create_task(pool.predict(b"sleep 0.4", name, nobody_left)))
            await asyncio.sleep(0)
        assert pool.waiting == 2
        error = await refusal(pool.predict(b"", "d", nobody_left))
        assert (error.status, error.text) == (503, "2 photographs wait already")
        assert error.retry_after >= 1
        assert len(await asyncio.gather(*tasks)) == 3
        assert pool.waiting == 0
        assert (await pool.predict(b"", "d", nobody_left))["id"] == "0-x"

    with_pool(story, Limits(queue=2))


def test_waiting_has_an_end():
    async def story(pool):
        pool.workers[0].busy = True
        error = await refusal(pool.predict(b"", "a", nobody_left))
        assert (error.status, error.text) == (503, "no worker was free for 0.1 s")
        assert pool.waiting == 0

    with_pool(story, Limits(seconds=0.1))


def test_a_worker_is_given_to_one_at_a_time():
    async def story(pool):
        tasks = [asyncio.create_task(pool.predict(b"sleep 0.05", n, nobody_left)) for n in "abcdef"]
        await asyncio.sleep(0)
        tasks[3].cancel()
        pool.workers[0].call, at_once = counted(pool.workers[0].call)
        first = await pool.predict(b"", "g", nobody_left)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(r, dict) for r in results] == [n != "d" for n in "abcdef"]
        assert first["id"] == "0-x"
        assert max(at_once) == 1
        assert (pool.waiting, pool.workers[0].busy) == (0, False)

    def counted(call):
        calls, at_once = [], []

        async def counting(*arguments):
            calls.append(arguments)
            at_once.append(len(calls))
            try:
                return await call(*arguments)
            finally:
                calls.pop()

        return counting, at_once

    with_pool(story)


def test_who_is_cancelled_in_the_moment_of_his_turn_passes_it_on():
    async def story(pool):
        worker = await pool._take()
        turn = asyncio.create_task(pool._take())
        await asyncio.sleep(0)
        assert pool.waiting == 1
        pool._free(worker)
        assert worker.busy  # it was given to the one who waits
        turn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turn
        assert not worker.busy
        assert (await pool.predict(b"", "a", nobody_left))["id"] == "0-x"

    with_pool(story)


def test_nothing_runs_for_somebody_who_has_left():
    async def story(pool):
        async def gone():
            return True

        assert (await refusal(pool.predict(b"exit", "a", gone))).status == 499
        assert pool.description is not None
        assert not pool.workers[0].busy

    with_pool(story)


def test_two_workers_share_the_photographs():
    async def story(pool):
        tasks = [pool.predict(b"sleep 0.5", name, nobody_left) for name in "ab"]
        results = await asyncio.gather(*tasks)
        assert len({result["pid"] for result in results}) == 2

    with_pool(story, workers=2)


def test_workers_end_with_the_pool():
    async def story(pool):
        return pool.description["pid"]

    pid = with_pool(story)
    deadline = time.monotonic() + 20
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(pid)


def test_a_model_that_can_not_be_loaded():
    async def run():
        pool = Pool([make_nothing], Limits(), WARM)
        error = await refusal(pool.start())
        assert error.text == "no model or config is called 'x'"
        return pool.workers[0].process

    assert not asyncio.run(run()).is_alive()
