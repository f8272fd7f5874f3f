import itertools

from hypothesis import given
from hypothesis import strategies as st

from vima_ros.tables import format_table

cells = st.text(st.characters(categories=["L", "N", "P"]), max_size=12)
tables = st.integers(1, 6).flatmap(
    lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), min_size=1, max_size=6)
)


@given(tables)
def test_a_table_is_aligned_and_holds_every_cell(table):
    lines = format_table(table[0], table[1:]).split("\n")
    assert len(lines) == len(table) + 1
    assert len({len(line) for line in lines}) == 1
    assert set(lines[1]) == {"|", "-"}
    bars = [place for place, letter in enumerate(lines[1]) if letter == "|"]
    for row, line in zip(table, [lines[0], *lines[2:]], strict=True):
        starts_ends = itertools.pairwise(bars)
        assert [line[a + 2 : b].rstrip() for a, b in starts_ends] == [c.rstrip() for c in row]
        assert all(line[bar] == "|" for bar in bars)


def test_a_table_of_nothing_has_headings():
    assert format_table(["a", "bcd"], []) == "| a | bcd |\n|---|-----|"
