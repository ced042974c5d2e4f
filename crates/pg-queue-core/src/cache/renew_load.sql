-- Lets a claim stand for longer.
-- parameters: $1 key, $2 token, $3 for how many microseconds from now on, $4 whether the transaction commits asynchronously
-- rows: one, if the claim is still there    index: primary key    locks: the row
with renewed as (
    update {cache} set load_until = now() + $3 * interval '1 microsecond' where key = $1 and load_token = $2 returning 1
)
select true, (select set_config('synchronous_commit', 'off', true) where $4) from renewed
