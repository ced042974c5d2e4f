-- What is under a key, and whether somebody loads it.
-- parameters: $1 key    rows: one or none: (what get.sql answers; the value is null if there is none), and whether it is loaded
-- index: primary key
select
    case when expires_at is null or greatest(expires_at, kept_until) > now() then value end,
    version, expires_at, slides, now(), load_until is not null and load_until > now()
from {cache} where key = $1
