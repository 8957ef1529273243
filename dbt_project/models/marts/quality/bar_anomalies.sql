select
    feed,
    asset_class,
    symbol,
    bar_start,
    bar_date,
    case
        when abs(coalesce(return_score, 0)) < {{ var('anomaly_score') }} then 'volume'
        when coalesce(volume_score, 0) < {{ var('anomaly_score') }} then 'return'
        else 'return and volume'
    end as anomaly,
    log_return,
    median_return,
    return_score,
    volume,
    median_volume,
    volume_score,
    history_bars
from {{ ref('int_bar_scores') }}
where
    history_bars >= 10
    and (abs(return_score) >= {{ var('anomaly_score') }} or volume_score >= {{ var('anomaly_score') }})
