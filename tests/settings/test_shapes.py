"""The one syntax of shapes: what a rule accepts, a conversion reads."""

import pytest

from tests.support.ruled import PROVED, TARGET, package
from tritonpm.core.errors import RuleError
from tritonpm.settings import require
from tritonpm.settings.settings import Settings

INPUT = package().stages[0].signature.inputs[0].name


@pytest.mark.parametrize("shape", ["1x4", "1x4:2x4:8x4"])
def test_a_range_that_a_conversion_reads_is_taken(shape: str) -> None:
    require(package(), Settings(shapes={INPUT: shape}), {"model": PROVED}, TARGET)


@pytest.mark.parametrize("shape", ["1x4:2x4x4:8x4", "8x4:2x4:1x4", "1x4:2x4", "0x4", "all"])
def test_a_range_that_a_conversion_would_refuse_is_refused_when_it_is_chosen(shape: str) -> None:
    with pytest.raises(RuleError, match="LEAST:BEST:MOST"):
        require(package(), Settings(shapes={INPUT: shape}), {"model": PROVED}, TARGET)
