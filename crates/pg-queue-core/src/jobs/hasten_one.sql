-- Makes one waiting job due now, waiting for its row if another transaction has locked it.
-- parameters: $1 id    rows: the id; none when it does not wait    index: primary key
update {queue} set run_at = least(run_at, {now}), parked = null where id = $1 and lease_token is null returning id
