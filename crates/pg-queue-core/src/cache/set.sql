-- Sets a value; the last writer wins.
-- parameters: $1 key, $2 value, $3 microseconds to live or null, $4 the moment it expires or null    rows: none
-- index: primary key
insert into {schema}.pg_queue_cache (key, value, expires_at)
values ($1, $2, coalesce($4, now() + $3 * interval '1 microsecond'))
on conflict (key) do update set value = excluded.value, expires_at = excluded.expires_at
