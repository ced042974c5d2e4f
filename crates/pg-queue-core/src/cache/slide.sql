-- Renews values that slide, because they were used. Rows that somebody writes at the moment are left out: they would be waited
-- for.
-- parameters: $1 keys, $2 whether the transaction commits asynchronously    rows: none
-- index: primary key    locks: the rows
update {cache} set expires_at = now() + slides * interval '1 microsecond', used_at = now()
where key = any (array(
    select key from {cache}
    where key = any ($1::bytea[]) and slides is not null and expires_at > now()
        and ($2 is false or set_config('synchronous_commit', 'off', true) is not null)
    for update skip locked
))
