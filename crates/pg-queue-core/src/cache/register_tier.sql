-- Says that a process keeps values in its memory for so long, so that changes are told. Forgets those that said so long ago.
-- parameters: $1 the process's number, $2 microseconds    rows: none    locks: the rows
with forgotten as (
    delete from {schema}.pg_queue_cache_tiers where until < now() - interval '1 hour' and id <> $1
)
insert into {schema}.pg_queue_cache_tiers (id, until) values ($1, now() + $2 * interval '1 microsecond')
on conflict (id) do update set until = excluded.until
