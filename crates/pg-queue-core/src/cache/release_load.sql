-- Gives a claim back, since loading failed. A value that has expired stays: it may still be shown.
-- parameters: $1 key, $2 token    rows: none    index: primary key    locks: the row
with gone as (
    delete from {cache} where key = $1 and load_token = $2 and value is null
)
update {cache} set load_token = null, load_until = null where key = $1 and load_token = $2 and value is not null
