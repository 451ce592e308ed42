"""What must not change a bit of the kernels' results: threads, forks, edited weights, shapes."""

import multiprocessing

import caffe
import numpy as np
import pytest
from support.kernel_nets import (
    PROCESSOR,
    assert_same_bits,
    chain,
    draw,
    run,
)
from threadpoolctl import threadpool_limits


@pytest.mark.parametrize("shape", [(1, 8, 18, 10), (5, 24, 21, 16), (1, 40, 124, 120)])
def test_the_number_of_threads_does_not_change_a_bit(tmp_path, random, shape):
    net = chain(tmp_path, shape)
    draw(net, random)
    with threadpool_limits(1, user_api="blas"):
        expected = run(net)
    for threads in (7, 2, 3, 1, 7):
        with threadpool_limits(threads, user_api="blas"):
            assert_same_bits(run(net), expected)


@pytest.mark.skipif(" avx512dq " not in PROCESSOR, reason="no AVX-512 here")
def test_wider_vectors_do_not_change_a_bit(tmp_path, random, monkeypatch):
    net = chain(tmp_path, (2, 40, 50, 47))
    draw(net, random)
    expected = run(net)
    monkeypatch.setenv("CAFFE_CPU_KERNELS", "AVX2")
    assert_same_bits(run(net), expected)


def test_a_forked_worker_computes_the_same_with_threads_of_its_own(tmp_path, random):
    net = chain(tmp_path, (5, 24, 21, 16))
    draw(net, random)
    with threadpool_limits(3, user_api="blas"):
        expected = run(net)  # starts this process's threads, which a child does not have
        context = multiprocessing.get_context("fork")
        receiver, sender = context.Pipe(duplex=False)
        worker = context.Process(target=lambda: sender.send(run(net)), daemon=True)
        worker.start()
        assert_same_bits(run(net), expected)
        assert receiver.poll(120)
        assert_same_bits(receiver.recv(), expected)
        worker.join()
        assert worker.exitcode == 0


# ---- weights and shapes that change ----


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_edited_weights_count_at_once(tmp_path, random, phase):
    net, other = (chain(tmp_path, phase=phase) for _ in range(2))
    draw(net, random)
    draw(other, random)
    before = run(net)
    other.blobs["x"].data[...] = net.blobs["x"].data
    other.blobs["y"].diff[...] = net.blobs["y"].diff
    expected = run(other)
    assert not np.array_equal(before["y"], expected["y"])

    other.save(str(tmp_path / "weights"))
    net.copy_from(str(tmp_path / "weights"))
    assert_same_bits(run(net), expected)
    net.params["a"][0].data[3] = 1
    net.params["a"][1].data[5] = 2
    edited = run(net)
    assert not np.array_equal(edited["y"], expected["y"])
    third = chain(tmp_path, phase=phase)
    third.share_with(net)
    third.blobs["x"].data[...] = net.blobs["x"].data
    third.blobs["y"].diff[...] = net.blobs["y"].diff
    assert_same_bits(run(third), edited)
    net.params["a"][0].data[...] = other.params["a"][0].data
    net.params["a"][1].data[...] = other.params["a"][1].data
    assert_same_bits(run(third), expected)


def test_a_reshaped_net_is_as_a_new_one(tmp_path, random):
    net = chain(tmp_path, (1, 8, 14, 50))
    draw(net, random)
    run(net)
    for shape in ((4, 8, 32, 24), (1, 8, 6, 2)):
        new = chain(tmp_path, shape)
        draw(new, random)
        net.blobs["x"].reshape(*shape)
        net.reshape()
        net.copy_from(save(new, tmp_path))
        net.blobs["x"].data[...] = new.blobs["x"].data
        net.blobs["y"].diff[...] = new.blobs["y"].diff
        assert_same_bits(run(net), run(new))


def save(net, folder):
    net.save(str(folder / "weights"))
    return str(folder / "weights")
