-- Notes how far running jobs have come.
-- parameters: $1 ids, $2 lease tokens, $3 fractions from 0 to 1, $4 notes (null: none)    rows: none
-- index: primary key    locks: the rows; skips those that another transaction has locked, since more progress will come
-- Lateral, and with an array beside the join that bounds what it reads: see complete.sql.
with made as (
    select held.id, said.progress, said.note
    from unnest($1::bigint[], $2::bigint[], $3::real[], $4::text[]) as said (id, token, progress, note)
    cross join lateral (
        select found.id
        from {queue} as found
        where found.id = said.id and found.lease_token = said.token
        for update skip locked
    ) as held
)
update {queue} as job
set progress = made.progress, progress_note = made.note
from made
where job.id = made.id and job.id = any (array(select made.id from made))
