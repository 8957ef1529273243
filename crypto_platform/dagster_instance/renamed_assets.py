"""What Dagster recorded of assets under the keys that they had before, moved to the keys of today.

0.1.0 called three assets in a row `<feed>_bars`; only the ledger's still is.
"""

import json

import sqlalchemy as sa

from crypto_platform.market.feed_spec import feeds


def _renamed() -> dict[str, str]:
    """Key of 0.1.0 to that of 0.2.0, as Dagster writes them: a JSON list."""
    to = {"alpaca": "{}_alpaca_bars", "kafka": "{}_bars_topic"}
    return {
        json.dumps([stage, f"{feed}_bars"]): json.dumps([stage, name.format(feed)])
        for stage, name in to.items()
        for feed in feeds()
    }


def rename_assets(url: str) -> None:
    """Give every row of an event log's database that is of an old key the new one, its events' text too.

    In one transaction; the events keep their time and number, so nothing that follows an asset sees a new one. Once
    renamed there is nothing left to do.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be reached or written.
    """
    keys = _renamed()
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        tables = sa.MetaData()
        tables.reflect(connection)
        known = tables.tables.get("asset_keys")
        if known is None:
            return
        old: list[str] = list(connection.scalars(sa.select(known.c.asset_key).where(known.c.asset_key.in_(keys))))
        for table in tables.sorted_tables if old else ():
            if "asset_key" not in table.c:
                continue
            texts = [column for column in table.c if isinstance(column.type, sa.Text | sa.String)]
            for key in old:
                moved = {column: sa.func.replace(column, key, keys[key]) for column in texts}
                connection.execute(table.update().where(table.c.asset_key == key).values(moved))
