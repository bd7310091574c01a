"""Linear algebra in one thread."""

import time

from threadpoolctl import threadpool_info, threadpool_limits

from rowgraph.threads import one_thread


def threads_of_blas():
    return [found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"]


def test_linear_algebra_has_one_thread_within_and_what_it_had_after():
    with threadpool_limits(2, user_api="blas"):
        before = threads_of_blas()
        with one_thread():
            assert set(threads_of_blas()) == {1}
        assert threads_of_blas() == before


def test_to_ask_again_costs_nothing():
    with one_thread():
        pass
    started = time.process_time()
    for _ in range(100):
        with one_thread():
            pass
    assert time.process_time() - started < 0.2  # to look for the libraries takes 0.4 to 0.9 s
