-- How many pages the cache has.
-- parameters: $1 the table's qualified name    rows: one
select pg_relation_size($1::regclass) / current_setting('block_size')::bigint
