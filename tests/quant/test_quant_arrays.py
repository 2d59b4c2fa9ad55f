"""The door to the kernels, and the warm-up of the compiler."""

from __future__ import annotations

import numpy as np
import pytest

from engine.quant import arrays, indicators, regimes, rolling, warm


def test_read_only_when_given_an_array_then_shares_memory_and_leaves_it_writeable() -> None:
    values = np.arange(3.0)
    view = arrays.read_only(values)
    assert np.shares_memory(values, view)
    assert not view.flags.writeable
    assert values.flags.writeable


def test_read_only_when_given_a_stride_then_contiguous() -> None:
    assert arrays.read_only(np.arange(10.0)[::2]).flags.c_contiguous


def test_read_only_together_when_lengths_differ_then_refused_by_name() -> None:
    with pytest.raises(ValueError, match="a 1, b 2"):
        arrays.read_only_together(a=[1.0], b=[1.0, 2.0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_finite_series_when_a_value_is_not_finite_then_refused_by_name_and_place(bad: float) -> None:
    with pytest.raises(ValueError, match=r"returns: .* at index 2 is not a finite number"):
        arrays.finite_series([0.0, 1.0, bad], "returns")


KERNELS = (
    indicators._ema,
    indicators._true_range,
    indicators._wilder,
    indicators._adx,
    rolling._highest,
    regimes._past_thirds,
)


def _compiled() -> list[int]:
    """How many argument types each kernel was compiled for."""
    return [len(getattr(kernel, "signatures", ())) for kernel in KERNELS]


def test_compile_all_when_called_then_no_later_call_compiles_again() -> None:
    warm.compile_all()
    before = _compiled()
    frozen = np.arange(50.0) + 100.0
    frozen.flags.writeable = False
    for close in (frozen, np.array(frozen), list(frozen), frozen[::2]):
        indicators.keltner(close, close, close)
        indicators.adx(close, close, close)
        rolling.highest(close, 5)
        regimes.past_thirds(close)
    assert _compiled() == before
