"""The benchmark's own working; its times are not tested."""

from training.search import benchmark


def test_it_prints_a_row_for_each_number_of_observations(monkeypatch):
    monkeypatch.setattr(benchmark, "OBSERVATIONS", (5, 12))
    rows = benchmark.benchmark()
    assert [row.observations for row in rows] == [5, 12]
    assert all(row.incremental > 0 and row.anew > 0 for row in rows)
    lines = benchmark.describe([*rows, benchmark.Row(7, 0.5, 2.0, None)]).splitlines()
    assert len(lines) == 5
    assert "2.000 (4x)" in lines[-1] and "not installed" in lines[-1]
