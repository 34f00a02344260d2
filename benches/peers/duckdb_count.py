"""The peer of the replay bench: DuckDB counts the events of a file by team, month and API.

usage: duckdb_count.py FILE THREADS plain|distinct

`plain` groups; `distinct` first keeps one event an id, which is the part of a fold's work that
SQL can express. Prints the number of events counted and the seconds that the query took.
"""

import sys
import time

import duckdb

file, threads, query = sys.argv[1:]
columns = "{id: 'VARCHAR', source: 'VARCHAR', subject: 'VARCHAR', time: 'TIMESTAMP', data: 'JSON'}"
events = f"""SELECT {"DISTINCT id, source," if query == "distinct" else ""} subject AS team,
    date_trunc('month', time) AS month, data->>'api' AS api
    FROM read_json('{file}', format = 'newline_delimited', columns = {columns})"""
connection = duckdb.connect(config={"threads": int(threads)})
begun = time.perf_counter()
counted = connection.execute(
    f"SELECT sum(n) FROM (SELECT team, month, api, count(*) AS n FROM ({events}) GROUP BY ALL)"
).fetchone()[0]
print(counted, time.perf_counter() - begun)
