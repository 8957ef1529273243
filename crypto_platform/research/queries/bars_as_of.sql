-- dbt_project/analyses/bars_as_of.sql, by make_research_queries.py: change it there.
select *
from MARTS.fct_bar_versions
where observed_at <= %(known_at)s and feed = %(feed)s and symbol in (select asked.value::varchar from table(flatten(input => parse_json(%(symbols)s))) as asked) and bar_start >= %(first)s and bar_start < %(after)s
qualify row_number() over (
        partition by feed, symbol, timeframe, bar_start
        order by observed_at desc, loaded_at desc, kafka_offset desc
    ) = 1
