-- Values by their keys.
-- parameters: $1 keys    rows: (key, and what get.sql answers) for each that is there    index: primary key
-- No join: if its plan were made while the table was empty, it would read all of the table for each key.
select key, value, version, expires_at, slides, now() from {cache}
where key = any ($1::bytea[]) and value is not null and (expires_at is null or greatest(expires_at, kept_until) > now())
