"""The rival from the shelf: dlt's ``rest_api`` source, merged on the record's id into PostgreSQL.

Runs in an environment of its own, which has dlt and nothing of this service: see ``rival_environment``.
``python dlt_merge.py ADDRESS PATH DATABASE DIRECTORY`` prints what it took as JSON.
"""

import json
import os
import sys
import time

SETTINGS = {
    "RUNTIME__LOG_LEVEL": "ERROR",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    # The best of what was tried on two cores: one process, large files. Two normalising processes, smaller files,
    # INSERT instead of CSV, and merging by upsert took up to a third longer.
    "DATA_WRITER__BUFFER_MAX_ITEMS": "5000",
    "NORMALIZE__DATA_WRITER__FILE_MAX_ITEMS": "100000",
}


def read(address: str, path: str, database: str, directory: str) -> dict[str, float]:
    import dlt
    from dlt.sources.rest_api import rest_api_source

    source = rest_api_source(
        {
            "client": {"base_url": address, "paginator": {"type": "header_link"}},
            "resource_defaults": {"primary_key": "id", "write_disposition": "merge"},
            "resources": [
                {
                    "name": "records",
                    "endpoint": {
                        "path": path,
                        "params": {"per_page": 100, "state": "all", "sort": "updated", "direction": "asc"},
                    },
                }
            ],
        },
        name="bench",
        # What is nested stays JSON, as in the other ways; taken apart it would take twice as long.
        max_table_nesting=0,
    )
    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=directory,
        destination=dlt.destinations.postgres(database),
        dataset_name="dlt_records",
    )
    began_at, began_processor = time.monotonic(), time.process_time()
    pipeline.run(source, loader_file_format="csv")
    ended_at, processor_seconds = time.monotonic(), time.process_time() - began_processor
    with pipeline.sql_client() as client:
        (number,) = client.execute_sql("SELECT COUNT(*) FROM records")[0]
    return {
        "records": number,
        "began_at": began_at,
        "ended_at": ended_at,
        "seconds": ended_at - began_at,
        "processor_seconds": processor_seconds,
    }


if __name__ == "__main__":
    os.environ.update({name: os.environ.get(name, value) for name, value in SETTINGS.items()})
    json.dump(read(*sys.argv[1:5]), sys.stdout)
