-- Takes tokens out of buckets, as many as there are.
-- parameters: $1 keys, each once and in their order; $2 how many are asked for, $3 how many a bucket holds, $4 after how many
--   microseconds another one comes
-- rows: (key, how many were given, for how many microseconds on the bucket is not full) of each
-- index: primary key    locks: the rows
insert into {schema}.pg_queue_limits as old (key, given, most, step, full_at)
select new.key, least(new.asked, new.most), new.most, new.step,
    now() + least(new.asked, new.most) * new.step * interval '1 microsecond'
from unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::double precision[]) as new (key, asked, most, step)
on conflict (key) do update set
    given = {schema}.pg_queue_tokens(old.full_at, excluded.most, excluded.step, excluded.given),
    most = excluded.most, step = excluded.step,
    full_at = greatest(old.full_at, now())
        + {schema}.pg_queue_tokens(old.full_at, excluded.most, excluded.step, excluded.given)
            * excluded.step * interval '1 microsecond'
returning key, given, extract(epoch from full_at - now())::double precision * 1000000
