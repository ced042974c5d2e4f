-- A value, if it has not expired, or may still be shown although it has.
-- parameters: $1 key    rows: one or none: (value, version, when it expires, how many microseconds it slides, now)
-- index: primary key
select value, version, expires_at, slides, now() from {cache}
where key = $1 and value is not null and (expires_at is null or greatest(expires_at, kept_until) > now())
