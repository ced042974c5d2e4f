-- Claims the loading of a value, if nobody else has and there is none that has not expired.
-- parameters: $1 key, $2 token, drawn at random; $3 for how many microseconds the claim stands, $4 a version that is to be loaded
--   anew although it has not expired, or null; $5 whether the transaction commits asynchronously
-- rows: one, if it is claimed    index: primary key    locks: the row
with claimed as (
    insert into {cache} as old (key, version, load_token, load_until)
    values ($1, 0, $2, now() + $3 * interval '1 microsecond')
    on conflict (key) do update set load_token = excluded.load_token, load_until = excluded.load_until
    where (old.load_until is null or old.load_until <= now())
        and (old.value is null or old.expires_at <= now() or old.version = $4)
    returning 1
)
select true, (select set_config('synchronous_commit', 'off', true) where $5) from claimed
