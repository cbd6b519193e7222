#!/usr/bin/env python3
"""Runs the SQL queries of the pages on DataFusion, the engine of InfluxDB 3.

The tables are as InfluxDB 3 makes them of the lines: a column for each tag and field, empty where a
line has none. Quantiles are compared with those of the single requests.
"""

import math
import pathlib
import random
import re
import sys
import time

import datafusion
import pyarrow as pa

DOCS = pathlib.Path(__file__).parent.parent / "docs"
ENDS = [0.01, 0.05, 0.1, 0.5, 1]


def queries(page):
    blocks = re.findall(r"```sql datafusion\n(.*?)```", page.read_text(), re.DOTALL)
    return [query for block in blocks for query in block.strip().split("\n\n")]


def lines():
    """Returns lines of two instances, the times of their requests by route, and lines of others."""
    random.seed(1)
    rows, times = [], {}
    for route, scale in [("GET:/a", 0.004), ("GET:/b", 0.2), ("GET:/slow", 1.5)]:
        for instance in ["one", "two"]:
            for status, error_code in [("200", None), ("404", "11009")]:
                for _ in range(5):
                    took = [random.lognormvariate(math.log(scale), 0.8) for _ in range(40)]
                    times.setdefault(route, []).extend(took)
                    rows.append(line(route, instance, status, error_code, took))
    # One with running requests alone, as an idle route has it.
    rows.append({"route": "GET:/hangs", "instance": "one", "running": 1})
    return rows, times


def line(route, instance, status, error_code, took):
    row = {"route": route, "instance": instance, "status_code": status, "error_code": error_code}
    for one in took:
        name = next((f"bucket_{end:g}" for end in ENDS if one <= end), "bucket_inf")
        row[name] = row.get(name, 0) + 1
    row["count"] = len(took)
    row["execution_time_sum"] = sum(took)
    row["execution_time_max"] = max(took)
    return row


def table(rows):
    types = {name: pa.string() for name in ["route", "instance", "status_code", "error_code"]}
    types |= {f"bucket_{end:g}": pa.int64() for end in ENDS}
    types |= {name: pa.int64() for name in ["bucket_inf", "count", "running"]}
    types |= {name: pa.float64() for name in ["execution_time_sum", "execution_time_max"]}
    columns = {name: pa.array([row.get(name) for row in rows], kind) for name, kind in types.items()}
    columns["time"] = pa.array([time.time_ns()] * len(rows), pa.timestamp("ns"))
    config = datafusion.SessionConfig().with_information_schema(True)
    context = datafusion.SessionContext(config)
    context.from_arrow(pa.table(columns), "requests_rollup")
    return context


def quantile(times, percent):
    """Returns the end of the bucket in which the request of this rank is, or the longest time."""
    exact = sorted(times)[math.ceil(len(times) * percent / 100) - 1]
    return next((end for end in ENDS if exact <= end), max(times))


def single_requests(context):
    """Makes the tables of single requests: three of them, of which one failed."""
    times = pa.array([time.time_ns()] * 3, pa.timestamp("ns"))
    columns = {"time": times, "route": ["GET:/a", "GET:/a", "GET:/b"], "status_code": ["200", "404", "200"]}
    context.from_arrow(pa.table({**columns, "execution_time": [0.1, 0.2, 0.3]}), "requests")
    failed = pa.table({"time": times[:1], "route": ["GET:/a"], "error_code": ["11009"]})
    context.from_arrow(failed, "errors")


def main():
    rows, times = lines()
    context = table(rows)
    single_requests(context)
    others = [query for page in sorted(DOCS.glob("*.md")) if page.name != "rollups.md" for query in queries(page)]
    for query in others:
        assert context.sql(query).to_pylist(), query
    sums, shares, names = queries(DOCS / "rollups.md")
    found = context.sql(sums).to_pylist()
    counts = {}
    for row in found:
        counts[row["route"]] = counts.get(row["route"], 0) + (row["requests"] or 0)
    assert counts == {route: len(took) for route, took in times.items()}, counts
    named = {row["column_name"] for row in context.sql(names).to_pylist()}
    assert named == {f"bucket_{end:g}" for end in ENDS} | {"bucket_inf"}, named
    assert "95" in shares
    for percent in [1, 10, 25, 50, 90, 95, 99, 100]:
        query = shares.replace("95", str(percent))
        found = {row["route"]: row["quantile"] for row in context.sql(query).to_pylist()}
        assert found.keys() == times.keys(), found
        for route, took in times.items():
            exact = quantile(took, percent)
            assert math.isclose(found[route], exact), f"p{percent} of {route}: {found[route]}, not {exact}"
    print(f"{len(others) + 3} queries of SQL on DataFusion {datafusion.__version__}")


if __name__ == "__main__":
    sys.exit(main())
