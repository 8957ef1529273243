"""The embedded Snowflake: fakesnow's HTTP server over DuckDB files, on loopback.

``python -m crypto_platform.sandbox.snowflake_server`` becomes the server. It takes any password; who names no role is
ACCOUNTADMIN. An external stage over STAGE_URL is read by fsspec.
"""

import gzip
import json
import signal
from importlib import import_module
from pathlib import Path
from typing import Any

from crypto_platform.connectors.snowflake.query_history import EMULATOR_PATH
from crypto_platform.sandbox.fakesnow_patches import (
    large_results,
    privileges,
    statement_cache,
    transactions,
    transforms,
)
from crypto_platform.sandbox.fakesnow_patches.idempotent_requests import Once
from crypto_platform.sandbox.fakesnow_patches.roles import Account
from crypto_platform.sandbox.fakesnow_patches.statement_counts import Counted
from crypto_platform.sandbox.parent_death import end_with_parent
from crypto_platform.sandbox.snowflake import folder
from crypto_platform.settings import LOOPBACK, Settings


def _app(server: Any, control: privileges.AccessControl) -> Any:
    """fakesnow's app, in which a statement that is sent again does not run again, and large results come in chunks.

    It counts its statements. Its login takes on the role and the warehouse that it names, and also hands out a master
    token: without one the connector closes no session, and the emulator would keep each, with its transaction, for as
    long as it runs.
    """
    from snowflake.connector.errors import DatabaseError
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    async def login(request: Request) -> JSONResponse:
        answer = json.loads((await server.login_request(request)).body)
        token = answer["data"]["masterToken"] = answer["data"]["token"]
        body = await request.body()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        user, named = json.loads(body)["data"].get("LOGIN_NAME") or "", request.query_params
        try:
            session = control.login(server.sessions[token], user, named.get("roleName"), named.get("warehouse"))
        except DatabaseError as error:
            del server.sessions[token]
            return JSONResponse({"data": {}, "code": str(error.errno), "message": error.msg, "success": False})
        answer["data"]["sessionInfo"] |= {"roleName": session.role, "warehouseName": session.warehouse}
        return JSONResponse(answer)

    chunked = large_results.Chunked(server.query_request, server)
    counted = Counted(chunked)
    query = Once(counted)

    async def statement(request: Request) -> Response:
        return await query(request)

    async def counts(request: Request) -> JSONResponse:
        return JSONResponse(counted.counts)

    async def session(request: Request) -> Response:
        ended = request.headers.get("Authorization", "")
        leaving = server.sessions.get(ended[17:-1]) if request.query_params.get("delete") else None
        answer: Response = await server.session(request)
        if request.query_params.get("delete"):
            if leaving is not None:
                await run_in_threadpool(control.end, leaving)
            query.forget(ended)
            chunked.forget(ended)
        return answer

    ours = {server.login_request: login, server.query_request: statement, server.session: session}
    routes = [
        Route(route.path, ours[route.endpoint], methods=["POST"]) if route.endpoint in ours else route
        for route in server.routes
    ]
    routes.append(Route("/result-chunks/{result}/{number:int}", chunked.chunk, methods=["GET"]))
    routes.append(Route(EMULATOR_PATH, counts, methods=["GET"]))
    return Starlette(routes=routes)


def _tell_null_timestamps(arrow: Any) -> None:
    """Have `fakesnow.arrow` say which timestamps are NULL: its structs of seconds and fractions read as 1970."""
    import pyarrow as pa

    struct = arrow.timestamp_to_sf_struct

    def with_nulls(timestamps: pa.Array | pa.ChunkedArray) -> pa.StructArray:
        array = timestamps.combine_chunks() if isinstance(timestamps, pa.ChunkedArray) else timestamps
        found = struct(array)
        columns = [found.field(n) for n in range(found.type.num_fields)]
        return pa.StructArray.from_arrays(columns, fields=list(found.type), mask=array.is_null())

    arrow.timestamp_to_sf_struct = with_nulls


def main() -> None:
    end_with_parent()
    import fakesnow.transforms
    import fsspec
    import uvicorn
    from fakesnow import arrow, cursor
    from fakesnow.instance import FakeSnow
    from fakesnow.transforms import stage

    settings = Settings()
    home = folder(settings)
    databases, stages, scratch = home / "databases", home / "stages", home / "scratch"
    for path in (databases, stages, scratch):
        path.mkdir(parents=True, exist_ok=True)
    # Made as the module was imported, in the machine's folder of temporary files, and never removed.
    Path(stage.LOCAL_BUCKET_PATH).rmdir()
    stage.LOCAL_BUCKET_PATH = str(stages)
    # By name: the package has a function `server` as well.
    server: Any = import_module("fakesnow.server")
    instance = FakeSnow(db_path=databases)
    instance.duck_conn.execute(f"SET GLOBAL memory_limit = '{settings.sandbox_snowflake_memory}'")
    instance.duck_conn.execute(f"SET GLOBAL temp_directory = '{scratch}'")
    if "://" in settings.stage:
        # DuckDB reads what its own extension does not, or is not there to, through fsspec.
        instance.duck_conn.register_filesystem(fsspec.core.url_to_fs(settings.stage)[0])
    server.shared_fs = instance
    _tell_null_timestamps(arrow)
    large_results.install(cursor, instance, scratch)
    parser = statement_cache.install(server, cursor)
    transforms.install(cursor, fakesnow.transforms)
    transactions.install(
        settings.sandbox_snowflake_idle_transaction_seconds, settings.sandbox_snowflake_lock_timeout_seconds
    )
    control = privileges.install(cursor.FakeSnowflakeCursor, parser, Account(home / "account.json"))
    # uvicorn stops at SIGTERM and then raises it again for the handler it found; the default one ends here.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    uvicorn.run(
        _app(server, control),
        host=LOOPBACK,
        port=settings.sandbox_snowflake_port,
        access_log=False,
        log_level="warning",
    )
    # Closing writes the database files out, so that the next start has no log to replay.
    instance.duck_conn.close()


if __name__ == "__main__":
    main()
