"""The memory of keys: order, wrapping around, half full, resumed; InfoNCE against it by loops."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from pretrain.objectives.parts.queue import KeyQueue, info_nce


def numbered(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float32)[:, None].expand(-1, 2)


def contents(queue: KeyQueue) -> list[int]:
    return sorted(queue.keys[queue.filled][:, 0].int().tolist())


def test_first_in_first_out_with_batches_that_do_not_divide_the_queue() -> None:
    queue = KeyQueue(7, 2)
    pushed = 0
    for size in (3, 3, 3, 2, 5, 1, 7, 4):
        queue.push(numbered(*range(pushed, pushed + size)))
        pushed += size
        assert contents(queue) == list(range(max(0, pushed - 7), pushed))
        assert queue.held == min(7, pushed)
        # The next key replaces the oldest.
        assert pushed < 7 or queue.keys[pushed % 7, 0] == pushed - 7


def test_a_batch_larger_than_the_queue_leaves_its_newest() -> None:
    queue = KeyQueue(4, 2)
    queue.push(numbered(0, 1, 2))
    queue.push(numbered(*range(3, 14)))
    assert contents(queue) == [10, 11, 12, 13]
    queue.push(numbered(14))
    assert contents(queue) == [11, 12, 13, 14]


def test_a_resumed_queue_goes_on_as_if_nothing_had_happened() -> None:
    queue, resumed = KeyQueue(5, 2), KeyQueue(5, 2)
    queue.push(numbered(1, 2, 3))
    resumed.load_state_dict(queue.state_dict())
    for q in (queue, resumed):
        q.push(numbered(4, 5, 6, 7))
    assert torch.equal(queue.keys, resumed.keys) and queue.held == resumed.held
    assert set(queue.state_dict()) == {"keys", "pushed"}


def test_pushing_leaves_a_pending_backward_pass_alone() -> None:
    queue = KeyQueue(4, 3)
    queue.push(torch.eye(3))
    q = torch.randn(2, 3, requires_grad=True)
    expected = torch.autograd.grad(info_nce(q, torch.ones(2, 3), queue, 0.5).sum(), q)[0]
    loss = info_nce(q, torch.ones(2, 3), queue, 0.5).sum()
    queue.push(torch.randn(6, 3))
    loss.backward()
    assert torch.equal(q.grad, expected)


@pytest.mark.parametrize("pushed", [1, 5, 9])
def test_info_nce_equals_a_loop(pushed: int) -> None:
    torch.manual_seed(0)
    queue = KeyQueue(6, 4).double()
    queue.push(torch.nn.functional.normalize(torch.randn(pushed, 4, dtype=torch.float64), dim=1))
    q, k = torch.randn(2, 3, 4, dtype=torch.float64)
    losses = info_nce(q, k, queue, 0.2)
    for i in range(3):
        own = math.exp(torch.cosine_similarity(q[i], k[i], dim=0).item() / 0.2)
        others = sum(
            math.exp(torch.cosine_similarity(q[i], queue.keys[j], dim=0).item() / 0.2)
            for j in range(min(6, pushed))
        )
        assert losses[i].item() == pytest.approx(-math.log(own / (own + others)), abs=1e-10)


def test_an_empty_queue_costs_nothing_and_equal_features_the_log_of_their_number() -> None:
    queue = KeyQueue(8, 3)
    q = torch.ones(2, 3, requires_grad=True)
    loss = info_nce(q, torch.randn(2, 3), queue, 0.2).sum()
    loss.backward()
    assert loss == 0 and (q.grad == 0).all()
    for held in (3, 6, 8):
        queue.push(torch.full((3, 3), 1 / math.sqrt(3)))
        loss = info_nce(q, torch.ones(2, 3), queue, 0.01)
        assert loss.tolist() == pytest.approx([math.log(1 + held)] * 2, abs=1e-5)


def test_small_temperature_and_half_precision_stay_finite() -> None:
    queue = KeyQueue(4, 3)
    queue.push(torch.eye(3))
    for dtype in (torch.float32, torch.bfloat16):
        q = torch.tensor([[1.0, 0, 0], [0, 0, 0]], dtype=dtype, requires_grad=True)
        losses = info_nce(q, -torch.ones(2, 3, dtype=dtype), queue, 0.005)
        losses.sum().backward()
        assert losses.dtype == torch.float32 and losses.isfinite().all() and q.grad.isfinite().all()


def filled_in_part(rank: int) -> dict[str, torch.Tensor]:
    queue = KeyQueue(5, 2)
    for step in range(2):
        part = torch.arange(4 * step + 2 * rank, 4 * step + 2 * rank + 2).float()
        queue.push(part[:, None, None].expand(-1, 1, 2))
    return queue.state_dict()


def test_two_processes_hold_what_one_would(in_two_processes: Callable[..., list]) -> None:
    states = in_two_processes(filled_in_part)
    single = KeyQueue(5, 2)
    for step in range(2):
        single.push(numbered(*range(4 * step, 4 * step + 4)))
    for state in states:
        assert all(torch.equal(state[name], value) for name, value in single.state_dict().items())


def test_a_queue_without_places_is_named() -> None:
    with pytest.raises(ValueError, match="entries=0"):
        KeyQueue(0, 4)
