-- Takes a lock that nobody holds.
-- parameters: $1 name, $2 who takes it, drawn at random; $3 for how many microseconds
-- rows: (fencing number), if it was taken    index: primary key    locks: the row, unless somebody is seen to hold it
-- The number is drawn when the row is locked: of two holders the later one has the higher number. It is on the disk with the
-- commit, so that no crash gives it out again; hence not asynchronously, whatever is set.
with acquired as (
    insert into {schema}.pg_queue_locks as old (name, fence, holder, until)
    select $1, nextval('"{schema_name}".pg_queue_fences'), $2, now() + $3 * interval '1 microsecond'
    where not exists (
        select from {schema}.pg_queue_locks where name = $1 and holder is not null and until > now()
    )
    on conflict (name) do update set
        fence = nextval('"{schema_name}".pg_queue_fences'), holder = excluded.holder, until = excluded.until
    where old.holder is null or old.until <= now()
    returning fence
)
select fence, (select set_config('synchronous_commit', 'on', true) where current_setting('synchronous_commit') = 'off')
from acquired
