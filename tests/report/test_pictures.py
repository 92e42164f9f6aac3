import re

import pytest

from pipeline.report.pictures import behaviours


@pytest.mark.parametrize("values", [[0.5, 0.9], [0.5, 40.0], [-3.0, 2.0]])
def test_no_value_lies_beyond_the_picture(values):
    """The line's points in the SVG, whose y grows downwards, lie within the axes' own frame."""
    picture = behaviours({"x": {"axis": "tokens", "at": [1, 2], "rows": {"a": values}}})
    (frame,) = re.findall(r'<g id="patch_2">\s*<path d="([^"]+)"', picture)
    (line,) = re.findall(r'<g id="line2d_\d+">\s*<path d="(M[^"]+)" clip-path', picture)
    ends, points = ([float(y) for y in re.findall(r"[ML] [\d.-]+ ([\d.-]+)", path)] for path in (frame, line))
    assert len(points) == 2
    assert all(min(ends) <= y <= max(ends) for y in points)
